/* SPDX-License-Identifier: MIT */
/*
 * malloc and free. The usual case of either happens inside one leaf, in registers, nearly without
 * a branch, and calls nothing that it would have to return from: a request is served from a leaf
 * that does not end in a hole; a freed block has a used granule before and after it in its leaf.
 * Then no run changes (M3), no hole is large, and all that the index may need is one byte.
 *
 * Where a leaf ends in a hole, or the block that is freed reaches into the next leaf, that next one
 * is looked at too (malloc_at_end, release_at_end). With 32-bit words and a granule of 8 a leaf is
 * 256 bytes, and a third to two thirds of the calls end there. What concerns yet another leaf is
 * left to blocks.c, which does all cases.
 */
#include "calls.h"

#if FFALLOC_SMALL

static void *serve(struct ffalloc_pool *pool, size_t size)
{
    return ffalloc_alloc_aligned(pool, bytes_of(pool, 1), size);
}

static size_t release_block(struct ffalloc_pool *pool, size_t start)
{
    return ffalloc_blocks_release(pool, start);
}

#else

/* Whether the last hole of `leaf`, after which lies a blank leaf, is a loose one that stays large
 * whatever happens in these two. */
HOT bool is_front_of_loose(const struct ffalloc_pool *pool, size_t leaf)
{
    return large_is_loose(pool, leaf) && pool->leaves[leaf + 1].starts >> 1 > LARGE / WORD_BITS;
}

__attribute__((noinline)) static void *malloc_large(struct ffalloc_pool *pool, size_t count,
                                                    size_t size)
{
    size_t leaf = ffalloc_large_next(pool, 0, count);
    if (leaf == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    return ffalloc_place(pool, large_start(pool, leaf), count, size);
}

/* The byte of a leaf that lost a hole is to be `now`. */
__attribute__((noinline)) static void *after_cut(struct ffalloc_pool *pool, size_t leaf,
                                                 unsigned now, void *block)
{
    ffalloc_index_set(pool, leaf, now);
    return block;
}

/* Carves a block from the front of a loose hole that starts in `leaf` and has at least a page more
 * than the next one; `over` granules of the block lie in that. */
HOT void carve_loose(struct ffalloc_pool *pool, size_t leaf, size_t over)
{
    struct leaf *next = &pool->leaves[leaf + 1];
    size_t run = next->starts >> 1;
    *next = (struct leaf){((size_t)1 << over) - 1, 0};
    map_mark_run(pool, leaf + 2, leaf + 1 + run, RUN_OF_HOLE);
    pool->loose[pool->loose[CARVED] == leaf ? CARVED : GROWN] = (uint32_t)leaf + 1;
    index_gained(pool, leaf + 1, SATURATED);
}

/*
 * Serves a request from a leaf that ends in a hole. Here are the cases in which no leaf but this
 * one and the next is concerned.
 */
__attribute__((noinline)) static void *malloc_at_end(struct ffalloc_pool *pool, size_t leaf,
                                                     size_t count, size_t size)
{
    struct leaf *words = &pool->leaves[leaf];
    struct leaf *next = words + 1;
    size_t start = leaf_lowest_fit(pool, leaf, count);
    size_t bit = bit_of(start);
    if (bit < words->used)
        return place_before_end(pool, leaf, start, start, count, size);
    bool is_loose = leaf_is_blank(next);
    if (leaf_is_blank(words) || (is_loose && !is_front_of_loose(pool, leaf)))
        return ffalloc_place(pool, start, count, size);
    size_t here = WORD_BITS - (start & (WORD_BITS - 1));
    size_t hole_count = is_loose ? SATURATED : here + lowest_bit(next->used);
    size_t over = count - here; /* or negative */
    if (count > hole_count || (count > here && over >= WORD_BITS) || (is_loose && over == 0))
        return ffalloc_place(pool, start, count, size);

    void *block = note_placed(pool, start, count, size);
    words->starts |= bit;
    size_t rest = 0; /* of the hole, as far as it starts in this leaf */
    if (count < here) {
        words->used |= (bit << count) - bit;
        rest = is_loose ? SATURATED : hole_count - count;
    } else {
        words->used |= -bit;
        if (is_loose) {
            carve_loose(pool, leaf, over);
        } else {
            next->used |= ((size_t)1 << over) - 1;
            index_piece_lost(pool, leaf + 1, hole_count - here, hole_count - count);
        }
    }
    if (pool->levels[0][leaf] != hole_count || rest == hole_count)
        return block;
    size_t longest = mask_longest(~words->used);
    return after_cut(pool, leaf, (unsigned)(longest > rest ? longest : rest), block);
}

/* Serves a request of less than WORD_BITS granules from the leaf that has the lowest hole for it.
 */
HOT void *malloc_in(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    const struct leaf *words = &pool->leaves[leaf];
    if (leaf_ends_in_hole(words))
        return malloc_at_end(pool, leaf, count, size);
    size_t runs = mask_runs(~words->used, count);
    size_t bit = runs & -runs;
    if (!bit) /* the byte is wrong: to be told */
        return ffalloc_place(pool, first_granule_of(leaf), count, size);
    return place_in_leaf(pool, leaf, bit, count, size);
}

/* The hint is too low, or there is none for just this size. */
__attribute__((noinline)) static void *malloc_far(struct ffalloc_pool *pool, size_t count,
                                                  size_t size)
{
    size_t leaf = index_first(pool, count);
    if (leaf == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    if (count < WORD_BITS)
        return malloc_in(pool, leaf, count, size);
    return leaf_ends_in_hole(&pool->leaves[leaf])
               ? malloc_at_end(pool, leaf, count, size)
               : ffalloc_place(pool, first_granule_of(leaf), count, size);
}

/* Not quick, or larger than any before. */
__attribute__((noinline)) static void *malloc_unusual(struct ffalloc_pool *pool, size_t size)
{
    size_t count = granules_for(pool, size);
    note_request(pool, size);
    return count > SATURATED ? malloc_large(pool, count, size) : malloc_far(pool, count, size);
}

/*
 * A leaf that does not end in a hole is looked at without asking for its byte: if it has a run of
 * enough free granules, that is a hole, and by the hint there is no lower one (X3).
 */
HOT void *serve(struct ffalloc_pool *pool, size_t size)
{
    if (size - 1 >= pool->quick_size) /* 0, too */
        return malloc_unusual(pool, size);
    size_t place = (size - 1) >> pool->granule_log2;
    size_t leaf = pool->hints[place];
    const struct leaf *words = &pool->leaves[leaf];
    if (leaf_ends_in_hole(words))
        return pool->levels[0][leaf] > place ? malloc_at_end(pool, leaf, place + 1, size)
                                             : malloc_far(pool, place + 1, size);
    size_t runs = mask_runs_to_8(~words->used, place + 1);
    if (!runs)
        return malloc_far(pool, place + 1, size);
    return place_in_leaf(pool, leaf, runs & -runs, place + 1, size);
}

__attribute__((noinline)) static size_t after_raise(struct ffalloc_pool *pool, size_t leaf,
                                                    size_t hole_count, size_t count)
{
    ffalloc_index_raise(pool, leaf, (unsigned)hole_count);
    return count;
}

/* A free of `count` granules, which this returns, made a hole in `leaf` what it is. */
HOT size_t index_freed(struct ffalloc_pool *pool, size_t leaf, size_t hole_count, size_t count)
{
    index_lower_hints(pool, leaf, hole_count);
    if (index_raise_leaf(pool, leaf, (unsigned)hole_count))
        return after_raise(pool, leaf, hole_count, count);
    return count;
}

/*
 * Frees a block after which its leaf ends in a hole that starts in it. Here are the cases in which
 * that ends in the next one or is a loose one.
 */
__attribute__((noinline)) static size_t release_at_end(struct ffalloc_pool *pool, size_t start)
{
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    struct leaf *next = words + 1;
    size_t position = start & (WORD_BITS - 1);
    size_t bit = bit_of(start);
    size_t below = words->used & (bit - 1);
    size_t ends = (words->starts | ~words->used) >> position >> 1;
    if (ends && leaf_is_blank(next) && is_front_of_loose(pool, leaf)) {
        words->used = below;
        words->starts ^= bit;
        return note_freed(pool, lowest_bit(ends) + 1);
    }
    size_t over = ends ? 0 : lowest_bit(next->starts | ~next->used);
    size_t above = next->used & -((size_t)1 << over);
    if (!above)
        return ffalloc_blocks_release(pool, start);
    words->used = below;
    words->starts ^= bit;
    next->used = above;
    size_t count = note_freed(pool, ends ? lowest_bit(ends) + 1 : WORD_BITS - position + over);
    return index_freed(pool, leaf, leading_zeros(below) + lowest_bit(above), count);
}

/* Frees a block before which its leaf has no used granule. Here are the cases in which the hole
 * ends in this leaf, and starts in it or the one before. */
__attribute__((noinline)) static size_t release_at_start(struct ffalloc_pool *pool, size_t start,
                                                         size_t above)
{
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    if (!above || leaf == 0 || leaf_is_blank(words - 1))
        return ffalloc_blocks_release(pool, start);
    size_t count = highest_bit(words->used ^ above) + 1 - (unsigned)(start & (WORD_BITS - 1));
    size_t before = leading_zeros(words[-1].used);
    words->used = above;
    words->starts ^= bit_of(start);
    note_freed(pool, count);
    return index_freed(pool, leaf - (before > 0), before + lowest_bit(above), count);
}

/* Frees the block that starts at `start`; returns its granules. */
HOT size_t release_block(struct ffalloc_pool *pool, size_t start)
{
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    size_t bit = bit_of(start);
    size_t ends = (words->starts | ~words->used) & -bit << 1;
    size_t end_bit = ends & -ends;
    size_t used = words->used ^ (end_bit - bit);
    size_t below = used & (bit - 1);
    size_t above = used & -bit;
    if (!below)
        return release_at_start(pool, start, above);
    if (!above)
        return release_at_end(pool, start);
    words->used = used;
    words->starts ^= bit;
    size_t count = note_freed(pool, lowest_bit(end_bit) - (unsigned)(start & (WORD_BITS - 1)));
    return index_freed(pool, leaf, lowest_bit(above) - highest_bit(below) - 1, count);
}

#endif

void *ffalloc_malloc(struct ffalloc_pool *pool, size_t size)
{
    return serve(pool, size);
}

/* NULL is no pool's, and so the short way need not ask for it. */
static inline size_t release(struct ffalloc_pool *pool, void *block)
{
    size_t start;
    if (!decode(pool, block, &start))
        return block ? ffalloc_wrong_pointer(pool, block) : 0;
    FFALLOC_TRACE_FREE(pool, block);
    return release_block(pool, start);
}

size_t ffalloc_release(struct ffalloc_pool *pool, void *block)
{
    return bytes_of(pool, release(pool, block));
}

void ffalloc_free(struct ffalloc_pool *pool, void *block)
{
    release(pool, block);
}
