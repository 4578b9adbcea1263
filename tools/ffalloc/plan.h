/* SPDX-License-Identifier: MIT */
/*
 * What-ifs. A plan is a list of changes, each of which treats a group of blocks otherwise than the
 * recorded program did; its outcome is the replay of the trace so changed, and as exact as that of
 * the trace itself.
 */
#ifndef FFALLOC_TOOLS_PLAN_H
#define FFALLOC_TOOLS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "life.h"
#include "replay.h"

#define PLAN_MOST 4

enum change_kind {
    CHANGE_FIRST,   /* placed before the first event, at its largest size, and never freed */
    CHANGE_OWN,     /* in a pool of the group's own */
    CHANGE_END,     /* from the other end of the pool downwards, by a first fit of their own */
    CHANGE_KEPT,    /* never freed */
    CHANGE_EARLIER, /* freed before the last request that precedes its free */
    CHANGE_WHOLE,   /* asked for at its largest size at once, and not resized */
    CHANGE_DOUBLE,  /* each of its sizes rounded up to a power of two */
    CHANGE_SIZE,    /* its requests of `from` bytes ask for `to` */
    CHANGE_GRANULE, /* the pool has granules of `to` bytes; of no group */
    CHANGE_KINDS
};

enum group_by { BY_BLOCK, BY_RUN, BY_SIZE, BY_SITE, BY_NONE };

struct group {
    enum group_by by;
    uint64_t value;   /* the block's or first block's number, the size, the site */
    uint32_t *blocks; /* in the order of their birth; of a run, of their addresses */
    uint32_t count;
    unsigned tried[CHANGE_KINDS]; /* the last round of the search that did */
};

struct change {
    enum change_kind kind;
    const struct group *group;
    uint64_t from, to;
};

struct plan {
    struct change changes[PLAN_MOST];
    unsigned count;
};

struct outcome {
    uint64_t usable;     /* bytes for blocks, of all pools */
    uint64_t pool;       /* the same, metadata included */
    uint64_t mark_event; /* that sets the first pool; 0: one placed before all */
};

/* What plans are tried on: the trace, and the pool that it needs unchanged. */
struct trial {
    const struct life *life;
    size_t granule;
    unsigned target;   /* of ffalloc_target_pool_size_for */
    uint64_t room;     /* bytes that a changed request may take beyond a pool's end: see plan.c */
    uint64_t pool;     /* what the trace needs unchanged: a plan that needs more is given up */
    uint64_t spare;    /* what alignments may add to a mark (sizing.c); 0: the mark is exact */
    uint8_t *tags;     /* by block: its change in the plan that is tried, from 1; 0: none */
    uint64_t replayed; /* events, of all plans */
};

const char *change_name(enum change_kind kind);

/* Whether no block has two changes in the plan, and the granule and the other end one at most. */
bool plan_is_possible(struct trial *trial, const struct plan *plan);

/* False if the plan needs a pool as large as the trace unchanged, or larger. */
bool plan_try(struct trial *trial, const struct plan *plan, struct outcome *outcome);

/* Replays the plan up to and with an event, and returns its first pool, to be closed; the pool of
 * a granule of the plan's. Such an event has been reached before. */
struct replay plan_until(struct trial *trial, const struct plan *plan, uint64_t event);

/* Memory for so many bytes for blocks, on the trial's target. */
uint64_t plan_pool_size(const struct trial *trial, uint64_t usable, size_t granule);

#endif
