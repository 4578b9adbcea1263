/* SPDX-License-Identifier: MIT */
/*
 * The search for what would make a pool smaller. Candidates come from the moment that sets the
 * pool: the blocks that lie above its largest holes, one by one and in runs; the sizes and the
 * call sites of those blocks; the sizes and call sites that hold most of it. Each is replayed. Then
 * pairs of the best, and then, as long as something is gained, the moment that sets the pool of
 * the best plan gives candidates to add to it.
 *
 * The events replayed are counted, not the time, so that a trace has the same answer everywhere.
 */
#ifndef FFALLOC_TOOLS_SEARCH_H
#define FFALLOC_TOOLS_SEARCH_H

#include "groups.h"

struct what_if {
    struct plan plan;
    struct outcome outcome;
};

struct search {
    struct trial *trial;
    uint64_t budget; /* events that may be replayed */
    uint32_t tried;
    struct what_if *found; /* single changes and pairs that save memory, the best first */
    size_t found_size, found_count;
    struct what_if best; /* what they come to together; no change in it: nothing saves */
    struct outcome steps[PLAN_MOST]; /* its first change alone, its first two, ... */
    struct groups groups;
};

/* Replays a plan, as long as there is something left of `limit`. It is listed if it needs less than
 * `listed_below`, and kept if it is the best yet. */
void search_try(struct search *search, const struct plan *plan, uint64_t limit,
                uint64_t listed_below);

/* `mark` is that of the trace unchanged. */
void search_all(struct search *search, struct trial *trial, const struct mark *mark);
void search_free(struct search *search);

#endif
