/* SPDX-License-Identifier: MIT */
/* Looking at a pool: what lies at an address, the walks, the statistics. */
#include "calls.h"

static struct ffalloc_block block_at(const struct ffalloc_pool *pool, size_t start)
{
    struct ffalloc_block block;
    block.address = address_of(pool, start);
    block.size = bytes_of(pool, in_pool(pool, map_next(pool, start)) - start);
    block.is_used = !map_is_hole(pool, start);
    return block;
}

/* A start in a leaf that is not blank, or is the first of a hole. */
static size_t start_in(const struct ffalloc_pool *pool, size_t leaf)
{
    const struct leaf *words = &pool->leaves[leaf];
    bool has_start = !leaf_is_blank(words) && words->starts;
    return first_granule_of(leaf) + (has_start ? lowest_bit(words->starts) : leaf_last_hole(words));
}

/*
 * The start of the block or hole that contains a granule. Only the ends of a long block know its
 * length. Two searches tell from a place inside the leaf in which it starts, in turn a step each:
 * back, leaf by leaf; and ahead, over leaves and runs of blank ones, from the hole before, which
 * the index finds. If the granule is in a hole, it is that one.
 */
static size_t start_of(const struct ffalloc_pool *pool, size_t granule)
{
    size_t leaf = leaf_of(granule);
    size_t from = ffalloc_leaf_with_hole(pool, leaf + leaf_is_blank(&pool->leaves[leaf]));
    size_t ahead = from;
    for (size_t back = leaf; back > from; back--) {
        if (!leaf_is_blank(&pool->leaves[back]) && start_in(pool, back) <= granule) {
            from = back;
            break;
        }
        size_t beyond = leaf_after_run(pool, ahead);
        ahead = beyond > ahead ? beyond : ahead + 1;
        if (ahead >= leaf)
            break;
        if (!leaf_is_blank(&pool->leaves[ahead]))
            from = ahead;
    }
    size_t start = from ? start_in(pool, from) : 0;
    for (size_t next; (next = map_next(pool, start)) <= granule;)
        start = next;
    return start;
}

bool ffalloc_find(const struct ffalloc_pool *pool, const void *address, struct ffalloc_block *block)
{
    if (!ffalloc_owns(pool, address))
        return false;
    size_t offset = (uintptr_t)address - (uintptr_t)pool->blocks;
    *block = block_at(pool, start_of(pool, offset >> pool->granule_log2));
    return true;
}

void ffalloc_walk(const struct ffalloc_pool *pool, ffalloc_visit *visit, void *context)
{
    size_t start = 0;
    while (start < pool->granule_count) {
        struct ffalloc_block block = block_at(pool, start);
        if (!visit(context, &block))
            return;
        start = map_next(pool, start);
    }
}

/* Visits the holes of at least `least` granules that start in a leaf. */
static bool visit_leaf(const struct ffalloc_pool *pool, size_t leaf, size_t least_size,
                       ffalloc_visit *visit, void *context)
{
    size_t free = leaf_own_free(pool, leaf);
    for (; free; free = after_hole(free)) {
        struct ffalloc_block block = block_at(pool, first_granule_of(leaf) + lowest_bit(free));
        if (block.size >= least_size && !visit(context, &block))
            return false;
    }
    return true;
}

void ffalloc_walk_holes(const struct ffalloc_pool *pool, size_t least_size, ffalloc_visit *visit,
                        void *context)
{
    unsigned least = saturated(granules_for(pool, least_size));
    size_t leaf = ffalloc_index_next(pool, 0, least);
    while (leaf != NOT_FOUND && visit_leaf(pool, leaf, least_size, visit, context))
        leaf = ffalloc_index_next(pool, leaf + 1, least);
}

static bool count_hole(void *context, const struct ffalloc_block *block)
{
    struct ffalloc_stats *stats = (struct ffalloc_stats *)context;
    if (stats->hole_count++ == 0 || block->size < stats->smallest_hole_size)
        stats->smallest_hole_size = block->size;
    if (block->size > stats->largest_hole_size)
        stats->largest_hole_size = block->size;
    return true;
}

/* All starts but the sentinel; no block starts in a run of blank leaves. */
static size_t count_blocks(const struct ffalloc_pool *pool)
{
    size_t count = 0;
    size_t next;
    for (size_t leaf = 0; leaf < leaf_count_of(pool->granule_count); leaf = next) {
        const struct leaf *words = &pool->leaves[leaf];
        next = leaf_after_run(pool, leaf);
        if (next > leaf)
            continue;
        next = leaf + 1;
        for (size_t starts = words->starts; starts; starts &= starts - 1)
            count++;
    }
    return count - 1;
}

/* 0 where nobody counts it. */
static size_t least_free_size(const struct ffalloc_pool *pool)
{
    size_t most_used = FFALLOC_STATISTICS ? pool->most_used_granules : pool->granule_count;
    return bytes_of(pool, pool->granule_count - most_used);
}

void ffalloc_stats(const struct ffalloc_pool *pool, struct ffalloc_stats *stats)
{
    size_t block_count = count_blocks(pool);
    stats->granule = bytes_of(pool, 1);
    stats->usable_size = bytes_of(pool, pool->granule_count);
    stats->used_size = bytes_of(pool, used_granules(pool));
    stats->peak_used_size = FFALLOC_STATISTICS ? bytes_of(pool, pool->most_used_granules) : 0;
    stats->free_size = bytes_of(pool, pool->granule_count - used_granules(pool));
    stats->least_free_size = least_free_size(pool);
    stats->largest_hole_size = 0; /* the holes are counted below */
    stats->smallest_hole_size = 0;
    stats->hole_count = 0;
    stats->block_count = block_count;
    stats->alloc_count = pool->alloc_count;
    stats->free_count = pool->alloc_count - block_count;
    stats->failed_count = pool->failed_count;
    stats->largest_request_size = pool->largest_request_size;
    stats->slack_total_size =
        FFALLOC_STATISTICS ? bytes_of(pool, pool->granted_granules) - pool->requested_size : 0;
    stats->high_water_size = bytes_of(pool, pool->high_water_granules);
    ffalloc_walk_holes(pool, 1, count_hole, stats);
}

void ffalloc_marks(const struct ffalloc_pool *pool, struct ffalloc_marks *marks)
{
    marks->blocks = pool->blocks;
    marks->usable_size = bytes_of(pool, pool->granule_count);
    marks->used_size = bytes_of(pool, used_granules(pool));
    marks->least_free_size = least_free_size(pool);
    marks->high_water_size = bytes_of(pool, pool->high_water_granules);
}

void ffalloc_reset_marks(struct ffalloc_pool *pool)
{
    pool->most_used_granules = used_granules(pool);
    pool->spare_granules = 0;
    pool->largest_request_size = 0;
#if !FFALLOC_SMALL && FFALLOC_STATISTICS
    pool->quick_size = 0;
#endif
    pool->high_water_granules = map_hole_start(pool, pool->granule_count);
    pool->is_zeroed = 0;
}
