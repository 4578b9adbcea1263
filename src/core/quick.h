/* SPDX-License-Identifier: MIT */
/*
 * The usual case of malloc and free: everything happens inside one leaf, in registers.
 *
 * A request is cut from a hole that ends in its leaf; a freed block and its neighbours lie in
 * one leaf, which keeps a start before and after them. Then no run changes (M4), no hole is
 * large, and all that the index may need is one byte. Two more cases are as simple: the front
 * of the current large hole, and a block that is freed into it, as long as its start stays in
 * the leaf. Anything else is left to blocks.c, which does all cases.
 */
#ifndef FFALLOC_CORE_QUICK_H
#define FFALLOC_CORE_QUICK_H

#include "index.h"

/* Bits up to and including the lowest set bit. */
static inline size_t up_to(size_t bit)
{
    return bit ^ (bit - 1);
}

/* Whether the last hole of `leaf` is a loose one and stays large whatever happens in the leaf. */
static inline bool is_front_of_loose(const struct ffalloc_pool *pool, size_t leaf)
{
    const struct leaf *next = &pool->leaves[leaf + 1];
    return large_is_loose(pool, leaf) && !next->starts && next->holes >= LARGE / WORD_BITS;
}

/*
 * Places a block of `count` granules where `runs`, not 0, has a bit for each place in `leaf` at
 * which so many are free. Returns whether it was that simple; if not, nothing has changed.
 */
static inline bool quick_place(struct ffalloc_pool *pool, size_t leaf, size_t runs, size_t count)
{
    struct leaf *words = &pool->leaves[leaf];
    size_t starts = words->starts;
    size_t bit = runs & -runs;
    size_t rest = bit << count;
    size_t above = starts & ~up_to(bit);
    if (!above && (!rest || !is_front_of_loose(pool, leaf)))
        return false;
    rest &= ~starts; /* nothing if the fit is exact */
    words->starts = starts | rest;
    words->holes ^= bit | rest;
    if (above)
        index_lost(pool, leaf, lowest_bit(above) - lowest_bit(bit));
    return true;
}

/*
 * Frees the block that starts at `start`. Returns its granules, or 0 with nothing changed if it
 * is not that simple.
 */
static inline size_t quick_release(struct ffalloc_pool *pool, size_t start)
{
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    size_t starts = words->starts;
    size_t holes = words->holes;
    size_t bit = bit_of(start);
    size_t below = starts & (bit - 1);
    size_t above = starts & ~up_to(bit);
    if (!below || !above)
        return 0;
    size_t position = start & (WORD_BITS - 1);
    size_t count = lowest_bit(above) - position;
    size_t right = holes & above & -above;
    size_t left = holes & (size_t)1 << highest_bit(below);
    above ^= right;
    if (above) {
        size_t size = lowest_bit(above) - (left ? highest_bit(below) : position);
        index_gained(pool, leaf, size);
        index_lower_hints(pool, leaf, size);
    } else if (!is_front_of_loose(pool, leaf)) {
        return 0;
    }
    words->starts = starts ^ right ^ (left ? bit : 0);
    words->holes = holes ^ right ^ (left ? 0 : bit);
    return count;
}

#endif
