/* SPDX-License-Identifier: MIT */
/*
 * The map: where blocks start and which of them are holes. Everything here is bit arithmetic on
 * one or two words, on the hot path of every call, and therefore inline.
 */
#ifndef FFALLOC_CORE_MAP_H
#define FFALLOC_CORE_MAP_H

#include "pool.h"

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

/* `word` is not 0 in these two. */
static inline unsigned lowest_bit(size_t word)
{
    return (unsigned)__builtin_ctzl(word);
}

static inline unsigned highest_bit(size_t word)
{
    return (unsigned)(WORD_BITS - 1) ^ (unsigned)__builtin_clzl(word);
}

/* Of a granule at which a block starts. */
static inline bool map_is_hole(const struct ffalloc_pool *pool, size_t granule)
{
    return pool->leaves[leaf_of(granule)].holes & bit_of(granule);
}

/* Of any granule. */
static inline bool map_is_used_start(const struct ffalloc_pool *pool, size_t granule)
{
    const struct leaf *leaf = &pool->leaves[leaf_of(granule)];
    return leaf->starts & ~leaf->holes & bit_of(granule);
}

/* The start after `granule`, which is below the sentinel. */
static inline size_t map_next(const struct ffalloc_pool *pool, size_t granule)
{
    size_t leaf = leaf_of(granule);
    size_t starts = pool->leaves[leaf].starts >> (granule & (WORD_BITS - 1)) >> 1;
    if (starts)
        return granule + 1 + lowest_bit(starts);
    leaf++;
    if (!pool->leaves[leaf].starts)
        leaf += pool->leaves[leaf].holes; /* M4 */
    return first_granule_of(leaf) + lowest_bit(pool->leaves[leaf].starts);
}

/* The start before `granule`, itself a start and not 0. */
static inline size_t map_prev(const struct ffalloc_pool *pool, size_t granule)
{
    size_t leaf = leaf_of(granule);
    size_t starts = pool->leaves[leaf].starts & (bit_of(granule) - 1);
    if (!starts) {
        leaf--;
        if (!pool->leaves[leaf].starts)
            leaf -= pool->leaves[leaf].holes; /* M4 */
        starts = pool->leaves[leaf].starts;
    }
    return first_granule_of(leaf) + highest_bit(starts);
}

/* Makes a start of a granule that is none. A leaf's first start ends its life in a run. */
static inline void map_add_start(struct ffalloc_pool *pool, size_t granule, bool is_hole)
{
    struct leaf *leaf = &pool->leaves[leaf_of(granule)];
    if (!leaf->starts)
        leaf->holes = 0;
    leaf->starts |= bit_of(granule);
    leaf->holes |= is_hole ? bit_of(granule) : 0;
}

static inline void map_remove_start(struct ffalloc_pool *pool, size_t granule)
{
    struct leaf *leaf = &pool->leaves[leaf_of(granule)];
    leaf->starts &= ~bit_of(granule);
    leaf->holes &= ~bit_of(granule);
}

static inline void map_set_hole(struct ffalloc_pool *pool, size_t granule)
{
    pool->leaves[leaf_of(granule)].holes |= bit_of(granule);
}

static inline void map_set_used(struct ffalloc_pool *pool, size_t granule)
{
    pool->leaves[leaf_of(granule)].holes &= ~bit_of(granule);
}

/* Restores M4 for the block from `start` to the next start, `end`, after either has moved. */
static inline void map_mark_run(struct ffalloc_pool *pool, size_t start, size_t end)
{
    size_t before = leaf_of(start);
    size_t after = leaf_of(end);
    if (after - before <= 1)
        return;
    pool->leaves[before + 1].holes = after - before - 1;
    pool->leaves[after - 1].holes = after - before - 1;
}

/*
 * The granules of the holes that start in a leaf, as far as they lie in it. With the bits of
 * used starts 0 and all others 1, adding a hole's bit carries through its granules up to the
 * next used start; what the addition changed is the hole.
 */
static inline size_t leaf_free_mask(size_t starts, size_t holes)
{
    size_t not_used = ~starts | holes;
    return ((not_used + holes) ^ not_used) & not_used;
}

static inline size_t halve_run(size_t mask, size_t *count)
{
    size_t half = *count >> 1;
    *count -= half;
    return mask & mask >> half;
}

/*
 * A bit for each position in `mask` at which `count` set bits begin; `count` is 1 to WORD_BITS -
 * 1. Each step doubles, or nearly, the number of offsets that have been and-ed together, until
 * it is all of 0 to count - 1. A step too many changes nothing: three are always made, which is
 * enough for 8 granules, or six, enough for all, and no branch depends on the count otherwise.
 */
static inline size_t mask_runs(size_t mask, size_t count)
{
    mask = halve_run(mask, &count);
    mask = halve_run(mask, &count);
    mask = halve_run(mask, &count);
    if (count == 1)
        return mask;
    mask = halve_run(mask, &count);
    mask = halve_run(mask, &count);
    return halve_run(mask, &count);
}

/* The longer of a run of `length` set bits, of which `runs` has the starts, and one of `more` bits
 * beyond it, if there is one. */
static inline size_t lengthen_run(size_t *runs, size_t more_runs, size_t length, size_t more)
{
    size_t longer = *runs & more_runs >> length;
    *runs = longer ? longer : *runs;
    return length + (longer ? more : 0);
}

/* The length of the longest run of set bits, of which the runs of 4 are known and there are
 * some: by doubling, then by halves. It is below WORD_BITS. */
static inline size_t mask_longest_from_4(size_t mask, size_t runs4)
{
    size_t runs2 = mask & mask >> 1;
    size_t runs8 = runs4 & runs4 >> 4;
    size_t runs16 = runs8 & runs8 >> 8;
    size_t runs32 = WORD_BITS > 32 ? runs16 & runs16 >> 16 : 0;
    size_t runs = runs4;
    size_t length = 4;
    if (runs32) {
        runs = runs32;
        length = lengthen_run(&runs, runs16, 32, 16);
        length = lengthen_run(&runs, runs8, length, 8);
        length = lengthen_run(&runs, runs4, length, 4);
    } else if (runs16) {
        runs = runs16;
        length = lengthen_run(&runs, runs8, 16, 8);
        length = lengthen_run(&runs, runs4, length, 4);
    } else if (runs8) {
        runs = runs8;
        length = lengthen_run(&runs, runs4, 8, 4);
    }
    length = lengthen_run(&runs, runs2, length, 2);
    return lengthen_run(&runs, mask, length, 1);
}

/* The length of the longest run of set bits, 0 if none is set. Up to 4 without a branch: most
 * holes are that short. */
static inline unsigned mask_longest(size_t mask)
{
    size_t runs2 = mask & mask >> 1;
    size_t runs3 = runs2 & runs2 >> 1;
    size_t runs4 = runs2 & runs2 >> 2;
    if (runs4)
        return (unsigned)mask_longest_from_4(mask, runs4);
    return (unsigned)(mask != 0) + (runs2 != 0) + (runs3 != 0);
}

/* The places in `leaf` at which `count` granules are free inside the leaf: a bit for each. */
static inline size_t leaf_runs(const struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    return count < WORD_BITS
               ? mask_runs(leaf_free_mask(pool->leaves[leaf].starts, pool->leaves[leaf].holes),
                           count)
               : 0;
}

/* Whether the last start of a leaf is a hole: the larger of two words has the higher bit. */
static inline bool leaf_ends_in_hole(const struct leaf *leaf)
{
    return leaf->holes > (leaf->starts & ~leaf->holes);
}

/* The lowest fit in a leaf that has one (X1). Only the last hole of a leaf can reach beyond it,
 * so it is the one if no other fits. */
static inline size_t leaf_lowest_fit(const struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    size_t runs = leaf_runs(pool, leaf, count);
    return first_granule_of(leaf) +
           (runs ? lowest_bit(runs) : highest_bit(pool->leaves[leaf].holes));
}

#endif
