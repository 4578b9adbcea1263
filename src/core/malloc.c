/* SPDX-License-Identifier: MIT */
/*
 * malloc. The usual case happens inside one leaf, in registers, and calls nothing that it would
 * have to return from: a request is served from a hole that does not reach the end of its leaf.
 * Then no run changes (M3), no hole is large, and all that the index may need is one byte.
 *
 * Where a hole reaches the end, the next leaf is looked at too (malloc_last): with 32-bit words by
 * half of the calls. What concerns yet another leaf is left to blocks.c, which does all cases.
 */
#include "calls.h"

#if FFALLOC_SMALL

static void *serve(struct ffalloc_pool *pool, size_t size)
{
    return ffalloc_alloc_aligned(pool, bytes_of(pool, 1), size);
}

#else

/* Starts a block at the last hole of a leaf that is not blank. Returns its bit. (That its granules
 * are used is noted apart: gcc would load both words at once, and wait for a store to one.) */
HOT size_t start_last(struct leaf *words)
{
    size_t bit = (size_t)1 << end_of(words->used);
    words->starts |= bit;
    return bit;
}

/* Places a block of a part of what a leaf has of its last hole, one of `hole_count` granules: its
 * largest, since no other would do. */
HOT void *place_in_last(struct ffalloc_pool *pool, size_t leaf, size_t hole_count, size_t count,
                        size_t size)
{
    struct leaf *words = &pool->leaves[leaf];
    size_t start = first_granule_of(leaf) + end_of(words->used);
    if (!raise_mark(pool, start + count))
        return ffalloc_refuse_damaged(pool, start);
    size_t bit = start_last(words);
    words->used |= (bit << count) - bit;
    void *block = note_placed(pool, start, count, size);
    return ffalloc_after_last(pool, leaf, hole_count - count, block);
}

/* Serves a request of more than SATURATED granules. */
static NOINLINE void *malloc_large(struct ffalloc_pool *pool, size_t count, size_t size)
{
    size_t end;
    size_t start = ffalloc_large_next(pool, 0, count, &end);
    if (start == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    return ffalloc_place(pool, start, end, count, size);
}

#if HAS_HINTS

/* Places a block at the front of a loose hole that ends in `last`, of which all that is left starts
 * in another leaf and is large. */
static NOINLINE void *malloc_loose(struct ffalloc_pool *pool, size_t start, size_t last,
                                   size_t count, size_t size)
{
    size_t leaf = leaf_of(start);
    size_t rest = start + count;
    size_t rest_leaf = leaf_of(rest);
    size_t bit = bit_of(start);
    if (!raise_mark(pool, start + count))
        return ffalloc_refuse_damaged(pool, start);
    struct leaf *words = map_leaf_to_write(pool, leaf);
    words->starts |= bit;
    large_move(pool, leaf, rest_leaf);
    void *block = note_placed(pool, start, count, size);
    words->used |= -bit;
    map_mark_run(pool, leaf + 1, rest_leaf, RUN_OF_BLOCK);
    pool->leaves[rest_leaf] = leaf_with(bits_below(rest), 0);
    map_mark_run(pool, leaf_of(rest + WORD_BITS - 1), last, RUN_OF_HOLE);
    index_gained(pool, rest_leaf, SATURATED);
    if (leaf >> FANOUT_LOG2 != rest_leaf >> FANOUT_LOG2)
        return ffalloc_after_last(pool, leaf, 0, block);
    pool->levels[0][leaf] = (uint8_t)mask_longest(~words->used);
    return block;
}

/* Serves a request of more than SATURATED granules; most often the lower loose hole will do. */
static NOINLINE void *malloc_large_loose(struct ffalloc_pool *pool, size_t count, size_t size)
{
    size_t end;
    size_t start = next_loose(pool, 0, count, &end);
    if (start == NOT_FOUND || top_first(pool, large_least(count)) < PAGE_FANOUT)
        return malloc_large(pool, count, size);
    if (end - start - count >= LARGE)
        return malloc_loose(pool, start, leaf_of(end), count, size);
    return ffalloc_place(pool, start, end, count, size);
}

#endif

/* Serves a request from a leaf's last hole, which goes on in blank leaves. */
APART void *malloc_to_blank(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    struct leaf *words = &pool->leaves[leaf];
    size_t here = leading_zeros(words->used);
    size_t start = first_granule_of(leaf) + end_of(words->used);
    size_t end = end_in_leaf(pool, leaf_beyond(pool, leaf + 1, words[1].starts));
    if (count >= here)
        return ffalloc_place(pool, start, end, count, size);
    large_cut(pool, start, start + count, end);
    return place_in_last(pool, leaf, end - start, count, size);
}

/* Serves a request from a leaf's last hole, which goes on in blank leaves, and which may be a large
 * one whose size in the index need not follow. */
static NOINLINE void *malloc_before_blank(struct ffalloc_pool *pool, size_t leaf, size_t count,
                                          size_t size)
{
    struct leaf *words = &pool->leaves[leaf];
    size_t run = leaf_beyond(pool, leaf + 1, words[1].starts) - leaf - 1;
    size_t here = leading_zeros(words->used);
    size_t start = first_granule_of(leaf) + end_of(words->used);
#if HAS_HINTS
    if (count >= here && run > 2 * LARGE / WORD_BITS && large_is_loose(pool, start, 0))
        return malloc_loose(pool, start, leaf + 1 + run, count, size);
#endif
    if (count >= here || !is_loose_and_long(pool, start, leaf + 1, run))
        return malloc_to_blank(pool, leaf, count, size);
    if (!raise_mark(pool, start + count))
        return ffalloc_refuse_damaged(pool, start);
    size_t bit = start_last(words);
    words->used |= (bit << count) - bit;
    return note_placed(pool, start, count, size);
}

/* Serves a request from a leaf that is blank, or ends in no hole: then its byte is wrong, which is
 * told. */
static NOINLINE void *malloc_blank(struct ffalloc_pool *pool, size_t leaf, size_t count,
                                   size_t size)
{
    size_t start = first_granule_of(leaf);
    return ffalloc_place(pool, start, map_hole_end(pool, start), count, size);
}

/* Serves a request from a leaf's last hole, which ends in the next leaf. */
static NOINLINE void *malloc_before_used(struct ffalloc_pool *pool, size_t leaf, size_t count,
                                         size_t size)
{
    struct leaf *words = &pool->leaves[leaf];
    size_t here = leading_zeros(words->used);
    size_t hole_count = here + lowest_bit(words[1].used);
    if (count >= here) {
        size_t start = first_granule_of(leaf) + end_of(words->used);
        return ffalloc_place(pool, start, start + hole_count, count, size);
    }
    return place_in_last(pool, leaf, hole_count, count, size);
}

/* Serves a request from a leaf's last hole, which reaches its end and is the lowest that does. */
HOT void *malloc_last(struct ffalloc_pool *pool, size_t leaf, const struct leaf *words,
                      size_t count, size_t size)
{
    if ((ptrdiff_t)words->used <= 0)
        return malloc_blank(pool, leaf, count, size);
    return leaf_is_blank(words + 1) ? malloc_before_blank(pool, leaf, count, size)
                                    : malloc_before_used(pool, leaf, count, size);
}

/* The lowest of the places `runs` in a leaf is in its last hole, and that reaches the leaf's end;
 * or there is none. */
HOT bool is_beyond_inner_holes(size_t runs, size_t used)
{
    return (runs & -runs) - 1 >= used;
}

/* Serves a request of up to SATURATED granules from the leaf that has the lowest hole for it. */
HOT void *malloc_in(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    struct leaf *words = &pool->leaves[leaf];
    size_t runs = count < WORD_BITS ? mask_runs(~words->used, count) : 0;
    if (is_beyond_inner_holes(runs, words->used))
        return malloc_last(pool, leaf, words, count, size);
    return place_in_leaf(pool, leaf, words, runs & -runs, count, size);
}

#if HAS_HINTS

/* From the nodes after that of `leaf`. */
static NOINLINE void *malloc_farther(struct ffalloc_pool *pool, size_t leaf, size_t count,
                                     size_t size)
{
    leaf = index_after(pool, leaf >> FANOUT_LOG2, (unsigned)count);
    if (!index_has(pool, leaf))
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    hints_raise(pool, count, leaf);
    return malloc_in(pool, leaf, count, size);
}

/* From a hint's leaf on. */
HOT void *malloc_near(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    size_t found;
    if (!index_in_node(pool, leaf, count, &found))
        return malloc_farther(pool, leaf, count, size);
    hints_raise(pool, count, found);
    return malloc_in(pool, found, count, size);
}

/* The hint is too low. */
static NOINLINE void *malloc_far(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    if (count > QUICK_GRANULES)
        UNREACHABLE();
    return malloc_near(pool, leaf, count, size);
}

/* Not quick, or larger than any before. */
static NOINLINE void *malloc_unusual(struct ffalloc_pool *pool, size_t size)
{
    size_t count = granules_for(pool, size);
    note_request(pool, size);
    if (count > SATURATED)
        return malloc_large_loose(pool, count, size);
    size_t leaf = pool->hints[hint_of(count)];
    if (pool->levels[0][leaf] >= count)
        return malloc_in(pool, leaf, count, size);
    bool is_far = pool->levels[1][leaf >> FANOUT_LOG2] < count; /* of random sizes 9 of 10 */
    return is_far ? malloc_farther(pool, leaf, count, size) : malloc_near(pool, leaf, count, size);
}

/* The byte is asked first: a third to a half of the hints are too low. */
HOT void *serve_quick(struct ffalloc_pool *pool, size_t count, size_t size)
{
    size_t leaf = pool->hints[count - 1];
    if (pool->levels[0][leaf] < count)
        return malloc_far(pool, leaf, count, size);
    if (count > QUICK_GRANULES)
        UNREACHABLE();
    return malloc_in(pool, leaf, count, size);
}

#else

HOT void *serve_quick(struct ffalloc_pool *pool, size_t count, size_t size)
{
    size_t leaf;
    if (IS_RARE(!index_find(pool, count, &leaf)))
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    if (count >= WORD_BITS)
        UNREACHABLE(); /* by QUICK_GRANULES */
    return malloc_in(pool, leaf, count, size);
}

/* Not quick, or larger than any before. */
static NOINLINE void *malloc_unusual(struct ffalloc_pool *pool, size_t size)
{
    size_t count = granules_for(pool, size);
    note_request(pool, size);
    if (count > SATURATED)
        return malloc_large(pool, count, size);
    if (size - 1 < pool->quick_size)
        return ffalloc_malloc(pool, size);
    size_t leaf = ffalloc_index_first(pool, count);
    if (leaf == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    if (count >= WORD_BITS)
        return malloc_last(pool, leaf, &pool->leaves[leaf], count, size);
    /* Of 0 bytes, or of more than quick_size counts. */
    size_t start = leaf_lowest_fit(pool, leaf, count);
    return ffalloc_place(pool, start, map_hole_end(pool, start), count, size);
}

#endif

HOT void *serve(struct ffalloc_pool *pool, size_t size)
{
    if (size - 1 >= pool->quick_size) /* 0, too */
        return malloc_unusual(pool, size);
    return serve_quick(pool, ((size - 1) >> pool->granule_log2) + 1, size);
}

#endif

void *ffalloc_malloc(struct ffalloc_pool *pool, size_t size)
{
    return serve(pool, size);
}
