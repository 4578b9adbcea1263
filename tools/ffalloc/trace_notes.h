/* SPDX-License-Identifier: MIT */
/* What a trace tells beside its events: the process, what it had mapped, how it ended. */
#ifndef FFALLOC_TOOLS_TRACE_NOTES_H
#define FFALLOC_TOOLS_TRACE_NOTES_H

#include <stdbool.h>
#include <stdint.h>

#include "maps.h"
#include "ring.h"
#include "trace.h"

/* How the process ended. */
struct ending {
    bool is_known;
    int status; /* of waitpid */
};

struct trace_totals {
    uint64_t event_count;
    uint64_t failed_count;
    uint64_t hash;    /* of all offsets, hash.h */
    bool is_one_pool; /* the hash is of offsets in one pool */
};

void note_process(struct trace_writer *writer, const struct ring *ring, char **command);

/* As far as it is known: at the start too, for a trace that is cut off. */
void note_maps(struct trace_writer *writer, const struct maps *maps);

void note_end(struct trace_writer *writer, const struct trace_totals *totals, struct ending ending);

#endif
