/* SPDX-License-Identifier: MIT */
/*
 * A look at a pool that another thread may be changing: whatever is read, nothing outside the map
 * is, and whoever looks has to find out whether it holds.
 */
#ifndef FFALLOC_CORE_PEEK_H
#define FFALLOC_CORE_PEEK_H

#include "calls.h"

static inline struct leaf peek_leaf(const struct leaf *leaf)
{
    return leaf_with(__atomic_load_n(&leaf->used, __ATOMIC_RELAXED),
                     __atomic_load_n(&leaf->starts, __ATOMIC_RELAXED));
}

/* Bytes given back since the pool was made; needs FFALLOC_STATISTICS. */
static inline size_t peek_freed_size(const struct ffalloc_pool *pool)
{
    return bytes_of(pool, pool->granted_granules - used_granules(pool));
}

/* Bytes in use; with a request under way up to twice its size more. */
static inline size_t peek_used_size(const struct ffalloc_pool *pool)
{
    size_t most_used = __atomic_load_n(&pool->most_used_granules, __ATOMIC_RELAXED);
    return bytes_of(pool, most_used - __atomic_load_n(&pool->spare_granules, __ATOMIC_RELAXED));
}

/* Bytes of the largest request ever. */
static inline size_t peek_largest_request(const struct ffalloc_pool *pool)
{
    return __atomic_load_n(&pool->largest_request_size, __ATOMIC_RELAXED);
}

/* Bytes of a live block, if it has a leaf of its own and more: of the leaves that are. 0 of others.
 * They do not change while it is live. */
static inline size_t peek_run_size(const struct ffalloc_pool *pool, const void *block)
{
    size_t granule = granule_of(pool, block);
    if (granule >= pool->granule_count || leaf_of(granule) == leaf_of(pool->granule_count))
        return 0;
    struct leaf seen = peek_leaf(&pool->leaves[leaf_of(granule) + 1]);
    bool is_run = leaf_is_blank(&seen) && seen.starts & RUN_OF_BLOCK;
    return is_run ? bytes_of(pool, first_granule_of(seen.starts >> 1)) : 0;
}

/* As ffalloc_usable_size, of a block that ends in its leaf or the next; 0 of anything else. */
static inline size_t peek_usable_size(const struct ffalloc_pool *pool, const void *block)
{
    size_t granule = granule_of(pool, block);
    if (granule >= pool->granule_count)
        return 0;
    const struct leaf *words = &pool->leaves[leaf_of(granule)];
    unsigned position = granule & (WORD_BITS - 1);
    struct leaf seen = peek_leaf(words);
    if (!((seen.used & seen.starts) >> position & 1))
        return 0;
    size_t ends = (seen.starts | ~seen.used) >> position >> 1;
    if (ends)
        return bytes_of(pool, 1 + lowest_bit(ends));
    if (leaf_of(granule) == leaf_of(pool->granule_count))
        return 0;
    seen = peek_leaf(words + 1);
    ends = leaf_is_blank(&seen) ? 0 : seen.starts | ~seen.used;
    return ends ? bytes_of(pool, WORD_BITS - position + lowest_bit(ends)) : 0;
}

#endif
