/* SPDX-License-Identifier: MIT */
/*
 * malloc and free. The usual case of either happens inside one leaf, in registers, and calls
 * nothing that it would have to return from.
 *
 * A request is cut from a hole that ends in its leaf; a freed block and its neighbours lie in
 * one leaf, which keeps a start before and after them. Then no run changes (M4), no hole is
 * large, and all that the index may need is one byte. Two more cases are as simple: the front
 * of a loose large hole, and a block that is freed into it, as long as its start stays in the
 * leaf. Anything else is left to blocks.c, which does all cases.
 */
#include "calls.h"

/* Bits up to and including the lowest set bit; all if none is set. */
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

__attribute__((noinline)) static void *malloc_large(struct ffalloc_pool *pool, size_t count,
                                                    size_t size)
{
    size_t leaf = ffalloc_large_next(pool, 0, count);
    if (leaf == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    return ffalloc_place(pool, large_start(pool, (uint32_t)leaf), count, size);
}

__attribute__((noinline)) static void *malloc_anyhow(struct ffalloc_pool *pool, size_t leaf,
                                                     size_t count, size_t size)
{
    return ffalloc_place(pool, leaf_lowest_fit(pool, leaf, count), count, size);
}

/* A leaf's largest hole was taken; `mask` has its free granules that are left. */
__attribute__((noinline)) static void *after_loss(struct ffalloc_pool *pool, size_t leaf,
                                                  size_t mask, void *block)
{
    if (leaf_ends_in_hole(&pool->leaves[leaf]))
        ffalloc_index_recount(pool, leaf);
    else
        ffalloc_index_set(pool, leaf, (unsigned)mask_longest(mask));
    return block;
}

/* Serves a request from the leaf that has the lowest hole for it. */
static inline void *malloc_in(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    if (count >= WORD_BITS)
        return malloc_anyhow(pool, leaf, count, size);
    struct leaf *words = &pool->leaves[leaf];
    size_t starts = words->starts;
    size_t mask = leaf_free_mask(words);
    size_t runs = mask_runs(mask, count);
    size_t bit = runs & -runs; /* 0 if the hole reaches beyond the leaf and no other fits */
    size_t rest = bit << count;
    size_t above = starts & ~up_to(bit);
    if (!above && (!rest || !is_front_of_loose(pool, leaf)))
        return malloc_anyhow(pool, leaf, count, size);
    mask &= ~(rest - bit);
    rest &= ~starts; /* nothing if the fit is exact */
    words->starts = starts | rest;
    words->holes ^= bit | rest;
    void *block = note_placed(pool, first_granule_of(leaf) + lowest_bit(bit), count, size);
    if (above && lowest_bit(above) - lowest_bit(bit) == pool->levels[0][leaf])
        return after_loss(pool, leaf, mask, block);
    return block;
}

__attribute__((noinline)) static void *malloc_without_hint(struct ffalloc_pool *pool, size_t count,
                                                           size_t size)
{
    size_t leaf = ffalloc_index_find_on(pool, count);
    if (leaf == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    return malloc_in(pool, leaf, count, size);
}

void *ffalloc_malloc(struct ffalloc_pool *pool, size_t size)
{
    size_t count = granules_for(pool, size);
    if (count > SATURATED)
        return malloc_large(pool, count, size);
    size_t leaf = pool->hints[hint_of(count)];
    if (pool->levels[0][leaf] < count)
        return malloc_without_hint(pool, count, size);
    return malloc_in(pool, leaf, count, size);
}

__attribute__((noinline)) static size_t release_anyhow(struct ffalloc_pool *pool, size_t start)
{
    size_t end = map_next(pool, start);
    ffalloc_blocks_release(pool, start, end);
    return note_freed(pool, end - start);
}

__attribute__((noinline)) static size_t after_raise(struct ffalloc_pool *pool, size_t leaf,
                                                    size_t hole_count, size_t freed_size)
{
    ffalloc_index_raise(pool, leaf, (unsigned)hole_count);
    return freed_size;
}

static inline size_t release(struct ffalloc_pool *pool, void *block)
{
    size_t start;
    if (!block)
        return 0;
    if (!decode(pool, block, &start))
        return ffalloc_wrong_pointer(pool, block);
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    size_t starts = words->starts;
    size_t holes = words->holes;
    size_t bit = bit_of(start);
    size_t below = starts & (bit - 1);
    size_t above = starts & ~up_to(bit);
    if (!below || !above)
        return release_anyhow(pool, start);
    size_t position = start & (WORD_BITS - 1);
    size_t count = lowest_bit(above) - position;
    size_t right = holes & above & -above;
    size_t left = holes & (size_t)1 << highest_bit(below);
    above ^= right;
    if (!above && !is_front_of_loose(pool, leaf))
        return release_anyhow(pool, start);
    words->starts = starts ^ right ^ (left ? bit : 0);
    words->holes = holes ^ right ^ (left ? 0 : bit);
    size_t freed_size = note_freed(pool, count);
    if (!above)
        return freed_size;
    size_t hole_count = lowest_bit(above) - (left ? highest_bit(below) : position);
    index_lower_hints(pool, leaf, hole_count);
    if (index_raise_leaf(pool, leaf, (unsigned)hole_count))
        return after_raise(pool, leaf, hole_count, freed_size);
    return freed_size;
}

size_t ffalloc_release(struct ffalloc_pool *pool, void *block)
{
    return release(pool, block);
}

void ffalloc_free(struct ffalloc_pool *pool, void *block)
{
    release(pool, block);
}
