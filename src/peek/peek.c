/* SPDX-License-Identifier: MIT */
#include "peek.h"

#include "../core/calls.h"

static struct leaf peek_leaf(const struct leaf *leaf)
{
    return leaf_with(__atomic_load_n(&leaf->used, __ATOMIC_RELAXED),
                     __atomic_load_n(&leaf->starts, __ATOMIC_RELAXED));
}

size_t ffalloc_peek_freed_size(const struct ffalloc_pool *pool)
{
    return bytes_of(pool, pool->granted_granules - used_granules(pool));
}

size_t ffalloc_peek_alloc_count(const struct ffalloc_pool *pool)
{
    return pool->alloc_count;
}

size_t ffalloc_peek_used_size(const struct ffalloc_pool *pool)
{
    size_t most_used = __atomic_load_n(&pool->most_used_granules, __ATOMIC_RELAXED);
    return bytes_of(pool, most_used - __atomic_load_n(&pool->spare_granules, __ATOMIC_RELAXED));
}

/* The bits of a leaf behind `granule` at which a block from there ends; 0: it goes on. */
static size_t peek_ends(struct leaf seen, size_t granule)
{
    return (seen.starts | ~seen.used) >> (granule & (WORD_BITS - 1)) >> 1;
}

size_t ffalloc_peek_usable_size(const struct ffalloc_pool *pool, const void *block)
{
    size_t granule = granule_of(pool, block);
    if (granule >= pool->granule_count)
        return 0;
    const struct leaf *words = &pool->leaves[leaf_of(granule)];
    unsigned position = granule & (WORD_BITS - 1);
    struct leaf seen = peek_leaf(words);
    if (!((seen.used & seen.starts) >> position & 1))
        return 0;
    size_t ends = peek_ends(seen, granule);
    if (ends)
        return bytes_of(pool, 1 + lowest_bit(ends));
    if (leaf_of(granule) == leaf_of(pool->granule_count))
        return 0;
    seen = peek_leaf(words + 1);
    ends = leaf_is_blank(&seen) ? 0 : seen.starts | ~seen.used;
    return ends ? bytes_of(pool, WORD_BITS - position + lowest_bit(ends)) : 0;
}
