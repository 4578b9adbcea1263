/* SPDX-License-Identifier: MIT */
#ifndef FFALLOC_TESTS_SOUND_H
#define FFALLOC_TESTS_SOUND_H

#include "ffalloc/ffalloc.h"
#include "unit.h"

/* The statistics of a pool whose every invariant holds, which is asserted. */
static inline struct ffalloc_stats stats_of(const struct ffalloc_pool *pool)
{
    struct ffalloc_stats stats;
    struct ffalloc_fault fault;
    cr_assert(ffalloc_check(pool, &fault), "%s at %zu", fault.rule, fault.offset);
    ffalloc_stats(pool, &stats);
    return stats;
}

#endif
