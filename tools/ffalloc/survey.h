/* SPDX-License-Identifier: MIT */
/*
 * All that the views show of a trace, gathered in two replays: the first finds out how high and how
 * long it is, the second follows the addresses.
 */
#ifndef FFALLOC_TOOLS_SURVEY_H
#define FFALLOC_TOOLS_SURVEY_H

#include <stddef.h>
#include <stdint.h>

#include "replay.h"
#include "trace.h"

/* What a call site, a stack, asked for. */
struct site {
    uint64_t alloc_count, alloc_bytes; /* in all; a realloc counts as one more */
    uint64_t live_count, live_bytes;   /* now, and so at the end */
    uint64_t mark_count, mark_bytes;   /* live when the mark was set */
    uint64_t peak_count, peak_bytes;   /* live when the payload was largest */
};

/* One moment. Bytes, unless it says otherwise. */
struct sample {
    uint64_t event, time; /* number, microseconds */
    uint64_t payload, used, mark;
    uint64_t largest_hole;
    uint64_t hole_count, block_count;
};

struct cell {
    uint8_t used;  /* part of it, of 255 */
    uint8_t birth; /* when the block in its middle was placed, part of the run of 255 */
    uint32_t site; /* its stack; 0: not known, or a hole */
};

#define SIZE_CLASSES 48u /* powers of two */

struct survey {
    struct trace *trace;
    struct replay replay; /* the first one, its pool closed */
    size_t granule;
    uint64_t min_usable; /* of the least pool; of one that was asked for, the mark */
    uint64_t event_count, duration;
    unsigned thread_count;
    uint64_t failed_count; /* requests that failed while recording */
    uint64_t failed_event; /* the first request that failed, while recording or here; 0: none */
    uint64_t usable;       /* of the second replay's pool */
    uint64_t size_counts[SIZE_CLASSES]; /* requests of 2^(i-1)+1 to 2^i bytes */
    struct site *sites;                 /* by stack */
    size_t site_size;

    unsigned column_count, row_count;
    uint64_t row_bytes;
    struct cell *cells; /* by column, then row from address 0 up; row_count more: the moment's */
    struct sample *samples; /* one for the end of each column */
    uint64_t moment;        /* event of the moment that was asked for */
    struct sample at_moment;
};

/* What moment: an event's number, or one of these. */
enum moment { MOMENT_MARK = -1, MOMENT_PEAK = -2, MOMENT_FAIL = -3, MOMENT_END = -4 };

/* Ends with a line if the trace is not valid, or has no such moment. */
void survey_take(struct survey *survey, const char *path, uint64_t pool, size_t granule,
                 int64_t moment, unsigned columns, unsigned rows);

#endif
