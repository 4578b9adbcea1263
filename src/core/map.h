/* SPDX-License-Identifier: MIT */
/*
 * The map: which granules are used and where blocks start. Everything here is bit arithmetic on
 * one or two words, on the hot path of every call, and therefore inline.
 *
 * Whatever the map's words say, if something has overwritten them: no length of a run leads out of
 * the map, no block ends behind the pool (a hole may seem to, and raise_mark keeps blocks out of
 * there), and each step of a walk gets on.
 */
#ifndef FFALLOC_CORE_MAP_H
#define FFALLOC_CORE_MAP_H

#include "pool.h"
#include "runs.h"

static inline size_t leaf_of(size_t granule)
{
    return granule >> WORD_LOG2;
}

static inline size_t bit_of(size_t granule)
{
    return (size_t)1 << (granule & (WORD_BITS - 1));
}

static inline size_t first_granule_of(size_t leaf)
{
    return leaf << WORD_LOG2;
}

/* All bits below that of a granule. */
static inline size_t bits_below(size_t granule)
{
    return bit_of(granule) - 1;
}

static inline bool leaf_is_blank(const struct leaf *leaf)
{
    return !leaf->used;
}

/* Whether the last granule of a leaf that is not blank is free: a hole reaches the leaf's end. */
static inline bool leaf_ends_in_hole(const struct leaf *leaf)
{
    return !(leaf->used >> (WORD_BITS - 1));
}

/* The place in a leaf at which the hole starts that reaches its end. */
static inline size_t leaf_last_hole(const struct leaf *leaf)
{
    return leaf_is_blank(leaf) ? 0 : end_of(leaf->used);
}

/* Of the start of a block or a hole. */
static inline bool map_is_hole(const struct ffalloc_pool *pool, size_t granule)
{
    return !(pool->leaves[leaf_of(granule)].used & bit_of(granule));
}

/* Of any granule. */
static inline bool map_is_used_start(const struct ffalloc_pool *pool, size_t granule)
{
    const struct leaf *leaf = &pool->leaves[leaf_of(granule)];
    return leaf->starts & leaf->used & bit_of(granule);
}

/* The leaf after a run of blank ones that begins with `leaf`, whose second word is `starts` (M3);
 * at most the last one. */
HOT size_t leaf_beyond(const struct ffalloc_pool *pool, size_t leaf, size_t starts)
{
    size_t last = leaf_of(pool->granule_count);
    size_t beyond = leaf + (starts >> 1);
    return beyond < last ? beyond : last;
}

/* The leaf after the run of blank ones that begins with `leaf`; `leaf` if that is not blank. */
HOT size_t leaf_after_run(const struct ffalloc_pool *pool, size_t leaf)
{
    const struct leaf *words = &pool->leaves[leaf];
    return leaf_is_blank(words) ? leaf_beyond(pool, leaf, words->starts) : leaf;
}

/* `end`, but not behind the pool. */
HOT size_t in_pool(const struct ffalloc_pool *pool, size_t end)
{
    return end < pool->granule_count ? end : pool->granule_count;
}

/* The end of the hole that starts at `granule`; `granule` if no hole does. */
HOT size_t map_hole_end(const struct ffalloc_pool *pool, size_t granule)
{
    size_t leaf = leaf_of(granule);
    size_t used = pool->leaves[leaf].used >> (granule & (WORD_BITS - 1));
    if (used)
        return granule + lowest_bit(used);
    if (!leaf_is_blank(&pool->leaves[leaf]))
        leaf++;
    leaf = leaf_after_run(pool, leaf);
    return first_granule_of(leaf) + lowest_bit(pool->leaves[leaf].used);
}

/* The start of the hole that ends at `granule`, a start; `granule` if what lies before is used. */
HOT size_t map_hole_start(const struct ffalloc_pool *pool, size_t granule)
{
    size_t leaf = leaf_of(granule);
    size_t used = pool->leaves[leaf].used & bits_below(granule);
    while (!used && leaf > 0) {
        const struct leaf *words = &pool->leaves[leaf - 1];
        used = words->used;
        if (used)
            leaf--;
        else if (words->starts - 1 >= 2 * leaf || words->starts & RUN_OF_BLOCK)
            break;
        else
            leaf -= words->starts >> 1;
    }
    return first_granule_of(leaf) + (used ? end_of(used) : 0);
}

/* The end of the block that starts at `granule`. */
HOT size_t map_block_end(const struct ffalloc_pool *pool, size_t granule)
{
    const struct leaf *words = &pool->leaves[leaf_of(granule)];
    size_t ends = (words->starts | ~words->used) >> (granule & (WORD_BITS - 1)) >> 1;
    if (ends)
        return in_pool(pool, granule + 1 + lowest_bit(ends));
    size_t leaf = leaf_of(granule) + 1;
    words++;
    if (leaf_is_blank(words) && words->starts & RUN_OF_BLOCK) {
        leaf = leaf_beyond(pool, leaf, words->starts);
        words = &pool->leaves[leaf];
    }
    size_t end = first_granule_of(leaf) + lowest_bit(words->starts | ~words->used);
    return end > granule ? in_pool(pool, end) : pool->granule_count;
}

/* What follows the block or hole that starts at `granule`, which is below the sentinel. */
static inline size_t map_next(const struct ffalloc_pool *pool, size_t granule)
{
    size_t next =
        map_is_hole(pool, granule) ? map_hole_end(pool, granule) : map_block_end(pool, granule);
    return next > granule ? next : granule + 1; /* in a damaged map, too, a walk ends */
}

/* Restores M3 for the blank leaves from `leaf` to before `end`, if there are any. */
HOT void map_mark_run(struct ffalloc_pool *pool, size_t leaf, size_t end, size_t kind)
{
    if (leaf >= end)
        return;
    pool->leaves[leaf].starts = (end - leaf) << 1 | kind;
    pool->leaves[end - 1].starts = (end - leaf) << 1 | kind;
}

/* Restores M3 inside a hole, after either end has moved. */
HOT void map_mark_hole(struct ffalloc_pool *pool, size_t start, size_t end)
{
    map_mark_run(pool, leaf_of(start + WORD_BITS - 1), leaf_of(end), RUN_OF_HOLE);
}

/* A leaf that is about to have used granules of its own. */
HOT struct leaf *map_leaf_to_write(struct ffalloc_pool *pool, size_t leaf)
{
    if (leaf_is_blank(&pool->leaves[leaf]))
        pool->leaves[leaf].starts = 0;
    return &pool->leaves[leaf];
}

/* Makes free granules from `from` to `end` part of the block that starts at `start`, which is
 * `from` or ends there. */
HOT void map_take(struct ffalloc_pool *pool, size_t start, size_t from, size_t end)
{
    EXPECT(start <= from && from < end && end <= pool->granule_count);
    size_t leaf = leaf_of(from);
    size_t last = leaf_of(end);
    struct leaf *words = map_leaf_to_write(pool, leaf);
    size_t beyond = leaf == last ? bit_of(end) : 0;
    if (beyond || leaf == leaf_of(start))
        words->used |= beyond - bit_of(from);
    else
        *words = leaf_with(0, RUN_OF_BLOCK);
    if (!beyond && bits_below(end))
        map_leaf_to_write(pool, last)->used |= bits_below(end);
    map_mark_run(pool, leaf_of(start) + 1, last, RUN_OF_BLOCK);
    if (start == from)
        words->starts |= bit_of(from);
}

/* Ends the leaf before `from` and those before it inside the block that starts at `start`: what
 * lies from `from` on is about to be given. */
static inline void map_split_block(struct ffalloc_pool *pool, size_t start, size_t from)
{
    EXPECT(start < from);
    struct leaf *words = &pool->leaves[leaf_of(from)];
    if (leaf_is_blank(words))
        *words = leaf_with(SIZE_MAX, 0);
    map_mark_run(pool, leaf_of(start) + 1, leaf_of(from), RUN_OF_BLOCK);
}

/* Makes a block, or what of it lies from `from` on, free up to its end. */
HOT void map_give(struct ffalloc_pool *pool, size_t from, size_t end)
{
    EXPECT(from < end && end <= pool->granule_count);
    size_t leaf = leaf_of(from);
    struct leaf *words = &pool->leaves[leaf];
    size_t beyond = leaf == leaf_of(end) ? bit_of(end) : 0;
    words->starts &= ~bit_of(from);
    words->used &= ~(beyond - bit_of(from));
    if (!beyond)
        pool->leaves[leaf_of(end)].used &= ~bits_below(end);
}

#if !FFALLOC_SMALL

/* The lowest fit in a leaf that has one (X1). Only the last hole of a leaf can reach beyond it,
 * so it is the one if no other fits. */
static inline size_t leaf_lowest_fit(const struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    size_t runs = count < WORD_BITS ? mask_runs(~pool->leaves[leaf].used, count) : 0;
    return first_granule_of(leaf) + (runs ? lowest_bit(runs) : leaf_last_hole(&pool->leaves[leaf]));
}

#endif

/* Whether a hole that starts before a leaf reaches it; the leaf is not inside a run of blank ones.
 */
static inline bool leaf_continues_hole(const struct leaf *leaf, bool is_first)
{
    if (is_first || leaf->used & 1)
        return false;
    return leaf_is_blank(leaf - 1) ? !(leaf[-1].starts & RUN_OF_BLOCK)
                                   : leaf_ends_in_hole(leaf - 1);
}

/* The free granules of a leaf, but for those of a hole that starts before it. */
static inline size_t leaf_own_free(const struct ffalloc_pool *pool, size_t leaf)
{
    const struct leaf *words = &pool->leaves[leaf];
    size_t free = ~words->used;
    return leaf_continues_hole(words, leaf == 0) ? free & (free + 1) : free;
}

/* Of a leaf's free granules, those after the lowest run of them. */
static inline size_t after_hole(size_t free)
{
    return free & (free + (free & -free));
}

#endif
