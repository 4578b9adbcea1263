/* SPDX-License-Identifier: MIT */
/* The pool at the moment that sets its size: which holes lie below the mark, and what is above. */
#ifndef FFALLOC_TOOLS_MARK_H
#define FFALLOC_TOOLS_MARK_H

#include "plan.h"

#define MARK_HOLES 16u

struct hole {
    uint64_t offset, size;  /* bytes */
    uint32_t above;         /* number in mark.blocks of the block that ends it, the lowest above */
    uint32_t run_count;     /* blocks from there to the next hole, or the end */
    uint64_t run_size;      /* bytes that they take */
    uint64_t since;         /* event that left it so; 0: the start */
    uint64_t refused_count; /* requests since that were too large for it */
    uint64_t refused_least; /* bytes, of the smallest of them */
};

struct mark {
    uint64_t event;
    uint32_t *blocks;  /* that are live, by address */
    uint64_t *offsets; /* theirs */
    uint32_t count;
    struct hole holes[MARK_HOLES]; /* the largest first */
    unsigned hole_count;
};

/* At `event`, which sets the mark of that plan's first pool. */
void mark_take(struct mark *mark, struct trial *trial, const struct plan *plan, uint64_t event);
/* Finds out since when its holes are so, and for whom they were too small; of the trace unchanged.
 */
void mark_date(struct mark *mark, struct trial *trial);
void mark_free(struct mark *mark);

#endif
