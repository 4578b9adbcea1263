/* SPDX-License-Identifier: MIT */
/* The smallest pool in which a trace's calls succeed. */
#ifndef FFALLOC_TOOLS_SIZING_H
#define FFALLOC_TOOLS_SIZING_H

#include "replay.h"

/* A target of ffalloc_target_pool_size_for, 0 being this machine's. */
static inline unsigned sizing_target(unsigned asked)
{
    return asked ? asked : sizeof(size_t) * 8;
}

/* The granule on a target where so much was asked for; 0: the trace's own. */
static inline size_t sizing_granule(size_t asked, unsigned target)
{
    return !asked && (target & ~FFALLOC_TARGET_SMALL) == 32 ? 8 : asked;
}

struct sizing {
    struct replay replay; /* of the first run, its pool closed */
    struct trace *trace;
    uint64_t event_count;
    unsigned thread_count;
    unsigned largest_log2;  /* of the alignments asked for */
    uint64_t failed_before; /* requests that failed while recording, and some pool could serve */
    bool is_truncated;      /* the trace is */
    char *site;             /* of the call that set the mark, "" if not known */
    uint64_t min_usable;
    uint64_t min_pool;
    uint64_t mark_usable; /* where no block that grows in place must move: that, or more */
    uint64_t mark_pool;
};

/* The target that an argument names: 32, 64, 32-small or 64-small; or ends with a line. */
unsigned parse_target_argument(const char *text);

/* Sizes the trace at `path`, which messages call `name`. The granule: 0 for the trace's own; the
 * target is that of ffalloc_target_pool_size_for; guards have so many bytes, 0: there are none.
 * Ends with a line if the trace is not valid, or no pool of that target is large enough. */
void sizing_take(struct sizing *sizing, const char *path, const char *name, size_t granule,
                 unsigned target, size_t guard_size);

/* The second half of that: from a replay in a pool without end, the trace and its largest alignment
 * to the least pool, by more replays where that takes any. */
void sizing_settle(struct sizing *sizing, unsigned target);

/* Whether every run of the program needs that pool: not if threads interleave, an alignment is
 * larger than those that pools keep to, or not all of the run is known. */
bool sizing_is_exact(const struct sizing *sizing);

void sizing_close(struct sizing *sizing);

#endif
