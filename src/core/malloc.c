/* SPDX-License-Identifier: MIT */
/*
 * malloc and free. The usual case of either happens inside one leaf, in registers, nearly without
 * a branch, and calls nothing that it would have to return from.
 *
 * A request is cut from a hole that ends in its leaf; a freed block and its neighbours lie in
 * one leaf, which keeps a start before and after them. Then no run changes (M4), no hole is
 * large, and all that the index may need is one byte. Two more cases are as simple: the front
 * of a loose large hole, and a block that is freed into it, as long as its start stays in the
 * leaf. Anything else is left to blocks.c, which does all cases.
 */
#include "calls.h"

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
    return ffalloc_place(pool, large_start(pool, leaf), count, size);
}

/* Where the lowest fit of a leaf is: at `bit`, or in its last hole if that is 0. */
static inline size_t fit_in(const struct ffalloc_pool *pool, size_t leaf, size_t bit)
{
    bit = bit ? bit : bit_of(highest_bit(pool->leaves[leaf].holes));
    return first_granule_of(leaf) + lowest_bit(bit);
}

/* A leaf's largest hole was taken, whose size was also the largest of its node. */
__attribute__((noinline)) static void *after_loss(struct ffalloc_pool *pool, size_t leaf,
                                                  void *block)
{
    ffalloc_index_make_stale(pool, leaf >> FANOUT_LOG2);
    return block;
}

/* A leaf's largest hole was taken, and its last hole reaches beyond it. */
__attribute__((noinline)) static void *after_loss_at_end(struct ffalloc_pool *pool, size_t leaf,
                                                         void *block)
{
    ffalloc_index_recount(pool, leaf);
    return block;
}

/*
 * Serves a request from the leaf that has the lowest hole for it. The leaf's byte is counted anew
 * whichever hole was taken: that is cheaper than to ask.
 */
static inline void *malloc_in(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    struct leaf *words = &pool->leaves[leaf];
    size_t starts = words->starts;
    size_t holes = words->holes;
    size_t mask = leaf_free_mask(starts, holes);
    size_t runs = mask_runs(mask, count);
    size_t bit = runs & -runs;
    size_t end_bit = bit << count;
    if (!end_bit || FFALLOC_SMALL)
        return ffalloc_place(pool, fit_in(pool, leaf, bit), count, size);
    size_t rest = end_bit & ~starts; /* nothing if the fit is exact */
    size_t new_starts = starts | rest;
    size_t new_holes = holes ^ (bit | rest);
    bool ends_in_hole = new_holes > (new_starts ^ new_holes);
    size_t hole_count = 0;
    if (ends_in_hole && !is_front_of_loose(pool, leaf)) {
        size_t above = starts & -end_bit;
        if (!above)
            return ffalloc_place(pool, fit_in(pool, leaf, bit), count, size);
        hole_count = lowest_bit(above) - lowest_bit(bit);
    }
    words->starts = new_starts;
    words->holes = new_holes;
    void *block = note_placed(pool, first_granule_of(leaf) + lowest_bit(bit), count, size);
    if (ends_in_hole)
        return hole_count == pool->levels[0][leaf] ? after_loss_at_end(pool, leaf, block) : block;
    if (index_lower_leaf(pool, leaf, mask_longest(mask ^ (end_bit - bit))))
        return after_loss(pool, leaf, block);
    return block;
}

/* The hint is too low, or there is none for just this size. */
__attribute__((noinline)) static void *malloc_far(struct ffalloc_pool *pool, size_t count,
                                                  size_t size)
{
    size_t place = hint_of(count);
    size_t leaf = ffalloc_index_next(pool, pool->hints[place], (unsigned)count);
    if (leaf == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    index_raise_hints(pool, place + (count != hint_least(place)), leaf);
    return count < WORD_BITS ? malloc_in(pool, leaf, count, size)
                             : ffalloc_place(pool, fit_in(pool, leaf, 0), count, size);
}

void *ffalloc_malloc(struct ffalloc_pool *pool, size_t size)
{
    size_t count = granules_for(pool, size);
    if (count > 8)
        return count > SATURATED ? malloc_large(pool, count, size) : malloc_far(pool, count, size);
    size_t leaf = pool->hints[count - 1];
    if (pool->levels[0][leaf] < count)
        return malloc_far(pool, count, size);
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
    FFALLOC_TRACE_FREE(pool, block);
    if (FFALLOC_SMALL)
        return release_anyhow(pool, start);
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    size_t starts = words->starts;
    size_t holes = words->holes;
    size_t bit = bit_of(start);
    size_t below = starts & (bit - 1);
    size_t above = starts >> (start & (WORD_BITS - 1)) >> 1;
    if (!below || !above)
        return release_anyhow(pool, start);
    size_t count = lowest_bit(above) + 1;
    size_t right = holes & bit << count;
    unsigned left = highest_bit(below);
    bool is_left_hole = holes >> left & 1;
    unsigned position = is_left_hole ? left : (unsigned)start & (WORD_BITS - 1);
    starts ^= right | (is_left_hole ? bit : 0);
    holes ^= right | (is_left_hole ? 0 : bit);
    above = starts >> position >> 1;
    if (!above && !is_front_of_loose(pool, leaf))
        return release_anyhow(pool, start);
    words->starts = starts;
    words->holes = holes;
    size_t freed_size = note_freed(pool, count);
    if (!above)
        return freed_size;
    size_t hole_count = lowest_bit(above) + 1;
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
