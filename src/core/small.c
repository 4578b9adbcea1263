/* SPDX-License-Identifier: MIT */
/*
 * The core compiled with FFALLOC_SMALL: the same placement in the fewest bytes of code.
 *
 * The index is one tree of half words: the exact size of the largest hole that starts in each leaf
 * (X1), and above it the largest of FANOUT (X2). There are no hints, no stale nodes, no pages:
 * every search starts at the top, and every change is counted anew from the map. ffalloc_malloc is
 * the aligned request that any hole answers.
 */
#include "audit.h"
#include "calls.h"
#include "grow.h"

#if FFALLOC_SMALL

size_t ffalloc_index_next(const struct ffalloc_pool *pool, size_t leaf, unsigned least)
{
    size_t node = leaf; /* the first of its level not looked into */
    unsigned level = 0;
    for (;;) {
        while (!(node & (FANOUT - 1)) && level + 1u < pool->level_count) {
            node >>= FANOUT_LOG2;
            level++;
        }
        if (node == FANOUT) /* at the top: below, it went up */
            return NOT_FOUND;
        if (pool->levels[level][node] >= least)
            break;
        node++;
    }
    while (level-- > 0) {
        node <<= FANOUT_LOG2;
        while (pool->levels[level][node] < least)
            if (!(++node & (FANOUT - 1)))
                return NOT_FOUND; /* not as X2 has it */
    }
    return node < leaf_count_of(pool->granule_count) ? node : NOT_FOUND;
}

static unsigned node_max(const hole_size *node)
{
    unsigned largest = 0;
    for (unsigned i = 0; i < FANOUT; i++)
        largest = node[i] > largest ? node[i] : largest;
    return largest;
}

void ffalloc_index_set(struct ffalloc_pool *pool, size_t leaf, unsigned now)
{
    size_t node = leaf;
    unsigned level = 0;
    for (;;) {
        hole_size *sizes = pool->levels[level++];
        unsigned before = sizes[node];
        sizes[node] = (hole_size)now;
        node >>= FANOUT_LOG2;
        if (level == pool->level_count)
            return;
        unsigned above = pool->levels[level][node];
        if (before < above && now <= above)
            return;
        now = node_max(sizes + (node << FANOUT_LOG2));
    }
}

/* The size of the largest hole that starts in a leaf, which is not inside a run of blank ones. */
static unsigned index_count(const struct ffalloc_pool *pool, size_t leaf)
{
    size_t largest = 0;
    for (size_t own = leaf_own_free(pool, leaf); own; own = after_hole(own)) {
        size_t start = first_granule_of(leaf) + lowest_bit(own);
        size_t count = map_hole_end(pool, start) - start;
        largest = count > largest ? count : largest;
    }
    return (unsigned)largest;
}

/* Counts the leaf of a granule anew. A blank one lies inside a run, or is the first of the hole
 * that starts at `hole`. */
static void recount(struct ffalloc_pool *pool, size_t granule, size_t hole)
{
    size_t leaf = leaf_of(granule);
    bool is_inside = leaf_is_blank(&pool->leaves[leaf]) && first_granule_of(leaf) != hole;
    ffalloc_index_set(pool, leaf, is_inside ? 0 : index_count(pool, leaf));
}

void ffalloc_index_init(struct ffalloc_pool *pool)
{
    recount(pool, 0, 0);
}

/* Makes `count` granules from `at` on, in the hole that starts at `start`, part of the block that
 * starts at `block`, which is `at` or ends there. */
static void cut(struct ffalloc_pool *pool, size_t block, size_t start, size_t at, size_t count)
{
    EXPECT(start <= at && block <= at && count >= 1);
    size_t end = map_hole_end(pool, start);
    size_t rest = at + count;
    map_take(pool, block, at, rest);
    map_mark_hole(pool, start, at);
    map_mark_hole(pool, rest, end);
    recount(pool, start, at > start ? start : rest);
    if (leaf_of(rest) != leaf_of(start))
        recount(pool, rest, rest);
}

void ffalloc_blocks_cut(struct ffalloc_pool *pool, size_t block, size_t start, size_t end,
                        size_t count)
{
    (void)end;
    cut(pool, block, start, start, count);
}

/* Makes free what lies from `from` to `end`, merged with a hole on the right, and with one that
 * starts at `left`. */
static void release_to(struct ffalloc_pool *pool, size_t left, size_t from, size_t end)
{
    size_t right = map_hole_end(pool, end);
    map_give(pool, from, end);
    map_mark_hole(pool, left, right);
    recount(pool, left, left);
    if (leaf_of(end) != leaf_of(left))
        recount(pool, end, left);
}

void ffalloc_blocks_trim(struct ffalloc_pool *pool, size_t start, size_t from, size_t end)
{
    map_split_block(pool, start, from);
    release_to(pool, from, from, end);
}

void ffalloc_blocks_release(struct ffalloc_pool *pool, size_t start)
{
    size_t end = map_block_end(pool, start);
    release_to(pool, map_hole_start(pool, start), start, end);
    note_freed(pool, end - start);
}

/* The first place from `granule` on whose address is a multiple of `mask` + 1 granules. */
static size_t align_up(const struct ffalloc_pool *pool, size_t granule, size_t mask)
{
    size_t bias = (uintptr_t)pool->blocks >> pool->granule_log2;
    return ((granule + bias + mask) & ~mask) - bias;
}

/* The hole that step 1, 2 or 3 of the rule of ffalloc_aligned_alloc finds, or NOT_FOUND. A function
 * of its own, so that its stack is given back before the deeper calls. */
static NOINLINE size_t find_hole(const struct ffalloc_pool *pool, size_t count, size_t mask,
                                 unsigned step)
{
    size_t least = step == 2 ? count + mask : count;
    unsigned groups = 0;
    size_t group = NOT_FOUND;
    size_t leaf = 0;
    for (; (leaf = ffalloc_index_next(pool, leaf, saturated(least))) != NOT_FOUND; leaf++) {
        if (leaf >> (GROUP_LOG2 - WORD_LOG2) != group && ++groups > GROUP_LIMIT && step == 1)
            break;
        group = leaf >> (GROUP_LOG2 - WORD_LOG2);
        for (size_t own = leaf_own_free(pool, leaf); own; own = after_hole(own)) {
            size_t start = first_granule_of(leaf) + lowest_bit(own);
            size_t end = map_hole_end(pool, start);
            size_t at = align_up(pool, start, mask);
            if (end - start >= least && at < end && end - at >= count)
                return start;
        }
        if (!mask) { /* the index promised one */
            ffalloc_raise_error(pool, address_of(pool, first_granule_of(leaf)), FFALLOC_DAMAGED);
            break;
        }
    }
    return NOT_FOUND;
}

/* The hole that the rule finds, or NOT_FOUND. */
static size_t find_by_rule(const struct ffalloc_pool *pool, size_t count, size_t mask)
{
    size_t hole = NOT_FOUND;
    for (unsigned step = 1; step <= (mask ? 3 : 1) && hole == NOT_FOUND; step++)
        hole = find_hole(pool, count, mask, step);
    return hole;
}

void *ffalloc_alloc_aligned(struct ffalloc_pool *pool, size_t alignment, size_t size)
{
    size_t count = granules_for(pool, size);
    note_request(pool, size);
    size_t mask = (alignment - 1) >> pool->granule_log2;
    if (mask)
        pool_opens_aligned(pool, count, mask + 1);
    size_t hole = find_by_rule(pool, count, mask);
    if (hole == NOT_FOUND && mask && pool_opens_fit(pool, count, mask + 1))
        hole = find_by_rule(pool, count, mask);
    if (hole == NOT_FOUND)
        return ffalloc_refuse(pool, size, alignment);
    size_t at = align_up(pool, hole, mask);
    if (!raise_mark(pool, at + count))
        return ffalloc_refuse_damaged(pool, at);
    cut(pool, at, hole, at, count);
    return note_placed(pool, at, count, size);
}

bool ffalloc_check_index(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t last = leaf_of(pool->granule_count);
    for (size_t leaf = 0, end = 0; leaf <= last; leaf++) {
        const struct leaf *words = &pool->leaves[leaf];
        bool is_inside = leaf < end;
        if (!is_inside && leaf_is_blank(words)) {
            end = leaf + (words->starts >> 1);
            is_inside = words->starts & RUN_OF_BLOCK;
        }
        unsigned largest = is_inside ? 0 : index_count(pool, leaf);
        if (!ffalloc_require(audit, pool->levels[0][leaf] == largest, "X1", first_granule_of(leaf)))
            return false;
    }
    unsigned shift = WORD_LOG2;
    for (unsigned level = 1; level < pool->level_count; level++) {
        last >>= FANOUT_LOG2;
        shift += FANOUT_LOG2;
        for (size_t node = 0; node <= last; node++) {
            unsigned largest = node_max(pool->levels[level - 1] + (node << FANOUT_LOG2));
            if (!ffalloc_require(audit, pool->levels[level][node] == largest, "X2", node << shift))
                return false;
        }
    }
    return true;
}

#endif
