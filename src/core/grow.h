/* SPDX-License-Identifier: MIT */
/*
 * Pools that grow.
 *
 * A pool with on_open is laid out for the most granules that it may ever have, and each of its
 * arrays begins on a unit of what is opened at a time. What is open of them is what a pool of
 * granule_count granules needs. To grow, more of each is opened and the sentinel moves up; what
 * lies between its places becomes a block, and that is freed.
 *
 * A request that fits in the shorter pool lies at the same place in the longer one, so malloc asks
 * for more only where it would refuse. Two answers differ in a longer pool and are preceded by a
 * look at the hole that ends with the pool: where an aligned request goes, which takes the lowest
 * hole that is large enough at any alignment, and whether the last block grows in place.
 */
#ifndef FFALLOC_CORE_GROW_H
#define FFALLOC_CORE_GROW_H

#include "layout.h"

/* Lies right before the leaves of a pool that grows. */
struct growth {
    ffalloc_on_open *on_open;
    size_t unit; /* bytes: what is opened begins and ends on its multiples */
    size_t most_granules;
    size_t step_granules; /* opened at a time, or more */
    size_t is_zeroed;     /* what is opened reads as zero */
};

#if FFALLOC_GROWTH

static inline const struct growth *growth_of(const struct ffalloc_pool *pool)
{
    return (const struct growth *)(const void *)pool->leaves - 1;
}

/* Makes a pool that grows; `address` is aligned to config->open_unit. */
struct ffalloc_pool *ffalloc_init_growing(uintptr_t address, size_t size, unsigned log2,
                                          const struct ffalloc_config *config);

/* Opens more of a pool that grows, until the hole that ends with it has `count` granules; false,
 * with nothing changed, if it cannot. */
bool ffalloc_open(struct ffalloc_pool *pool, size_t count);

/* Opens more until the pool's last hole has an aligned place for `count` granules; false, with
 * nothing changed, if it cannot. */
bool ffalloc_open_fit(struct ffalloc_pool *pool, size_t count, size_t alignment);

#endif

/* Whether a pool, which may not grow at all, opens enough for `count` granules. */
static inline bool pool_opens(struct ffalloc_pool *pool, size_t count)
{
#if FFALLOC_GROWTH
    return pool->is_growing && ffalloc_open(pool, count);
#else
    (void)pool;
    (void)count;
    return false;
#endif
}

/* Before an aligned request, in granules: in a longer pool the hole at its end does for any
 * alignment. */
static inline void pool_opens_aligned(struct ffalloc_pool *pool, size_t count, size_t alignment)
{
    if (count <= SIZE_MAX - (alignment - 1))
        (void)pool_opens(pool, count + (alignment - 1));
}

/* After it, if nothing was found: opens what makes an aligned fit of the hole at the pool's end, if
 * that is less. */
static inline bool pool_opens_fit(struct ffalloc_pool *pool, size_t count, size_t alignment)
{
#if FFALLOC_GROWTH
    return pool->is_growing && ffalloc_open_fit(pool, count, alignment);
#else
    (void)pool;
    (void)count;
    (void)alignment;
    return false;
#endif
}

#endif
