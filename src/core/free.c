/* SPDX-License-Identifier: MIT */
/*
 * free. The usual case happens inside one leaf, as malloc's does: the freed block has a used
 * granule before and after it there. Where it reaches into the next leaf, or a hole does, that one
 * is looked at too; the rest is left to blocks.c. That the block starts where it does is forgotten
 * first: how far it goes is told by what is used, up to the next start.
 */
#include "calls.h"

/* Frees any block. */
static inline void release_anyhow(struct ffalloc_pool *pool, size_t start)
{
    size_t before = pool->spare_granules;
    ffalloc_blocks_release(pool, start);
    FFALLOC_LARGE_FREED(pool, bytes_of(pool, pool->spare_granules - before));
}

#if FFALLOC_SMALL

void ffalloc_free(struct ffalloc_pool *pool, void *block)
{
    size_t start;
    if (!decode(pool, block, &start)) {
        ffalloc_wrong_pointer(pool, block);
        return;
    }
    FFALLOC_TRACE_FREE(pool, block);
    release_anyhow(pool, start);
}

#else

/* A free made a hole in `leaf` what it is: of `hole_count` granules, or of more, if that is
 * SATURATED. */
HOT void index_freed(struct ffalloc_pool *pool, size_t leaf, size_t hole_count)
{
    hints_lower(pool, leaf, hole_count);
    if (index_raise_leaf(pool, leaf, (unsigned)hole_count))
        ffalloc_index_raise(pool, leaf, (unsigned)hole_count);
}

/* The granules from `start` to the last used one in its leaf. */
HOT size_t used_from(size_t used, size_t start)
{
    return end_of(used) - (unsigned)(start & (WORD_BITS - 1));
}

/* Frees a block with something used before it in its leaf, which ends in another one, `over`
 * granules of that being its, and from where a hole goes on beyond that leaf. */
static NOINLINE void release_before_hole(struct ffalloc_pool *pool, size_t start, size_t end_leaf,
                                         size_t over)
{
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    struct leaf *last = &pool->leaves[end_leaf];
    size_t right_leaf = leaf_after_run(pool, end_leaf + 1);
    size_t below = words->used & bits_below(start);
    size_t left = first_granule_of(leaf) + end_of(below);
    size_t end = first_granule_of(end_leaf) + over;
    size_t right = end_in_leaf(pool, right_leaf);
    large_merge(pool, left, left, end, right);
    words->used = below;
    last->used = 0;
    map_mark_run(pool, leaf + 1, right_leaf, RUN_OF_HOLE);
    note_freed(pool, end - start);
    index_freed(pool, leaf, saturated(right - left));
    index_blank(pool, end_leaf, leaf);
    FFALLOC_LARGE_FREED(pool, bytes_of(pool, end - start));
}

/* Frees a block with something used before it in its leaf (`below`), which goes on in a run of
 * blank leaves and ends in the one after them. */
APART void release_with_blank(struct ffalloc_pool *pool, size_t start, size_t below)
{
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    size_t end_leaf = leaf_beyond(pool, leaf + 1, words[1].starts);
    struct leaf *last = &pool->leaves[end_leaf];
    if (leaf_is_blank(last)) {
        release_anyhow(pool, start);
        return;
    }
    size_t over = lowest_bit(last->starts | ~last->used);
    size_t above = last->used & -((size_t)1 << over);
    if (!above) {
        release_before_hole(pool, start, end_leaf, over);
        return;
    }
    size_t left = first_granule_of(leaf) + end_of(below);
    size_t right = first_granule_of(end_leaf) + lowest_bit(above);
    large_merge(pool, left, left, right, right);
    words->used = below;
    last->used = above;
    map_mark_run(pool, leaf + 1, end_leaf, RUN_OF_HOLE);
    size_t count = first_granule_of(end_leaf) + over - start;
    note_freed(pool, count);
    index_freed(pool, leaf, saturated(right - left));
    FFALLOC_LARGE_FREED(pool, bytes_of(pool, count));
}

/* Frees a block with something used before it in its leaf (`below`), and nothing behind it there,
 * before a blank leaf; it may end at a loose hole, of which nothing but that need be told. */
static NOINLINE void release_before_blank(struct ffalloc_pool *pool, size_t start, size_t below)
{
    EXPECT(below && leaf_is_blank(&pool->leaves[leaf_of(start) + 1]));
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    size_t next_starts = words[1].starts;
    bool ends_in_hole = leaf_ends_in_hole(words);
    if (!ends_in_hole && next_starts & RUN_OF_BLOCK) {
        release_with_blank(pool, start, below);
    } else if (ends_in_hole &&
               is_loose_and_long(pool, first_granule_of(leaf), leaf + 1,
                                 leaf_beyond(pool, leaf + 1, next_starts) - leaf - 1)) {
        note_freed(pool, used_from(words->used, start));
        words->used = below;
    } else {
        release_anyhow(pool, start);
    }
}

/* Frees a block after which its leaf ends in a hole that starts in it; `below` is what is used
 * before it there. */
static NOINLINE void release_at_end(struct ffalloc_pool *pool, size_t start, size_t below)
{
    EXPECT(below && below < bit_of(start));
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    struct leaf *next = words + 1;
    if (leaf_is_blank(next)) {
        release_before_blank(pool, start, below);
        return;
    }
    /* All used granules from `start` on are the block's. */
    size_t over = leaf_ends_in_hole(words) ? 0 : lowest_bit(next->starts | ~next->used);
    size_t above = next->used & -((size_t)1 << over);
    if (!above) {
        release_before_hole(pool, start, leaf + 1, over);
        return;
    }
    size_t count = used_from(words->used, start) + over;
    words->used = below;
    next->used = above;
    note_freed(pool, count);
    index_freed(pool, leaf, leading_zeros(below) + lowest_bit(above));
}

#if HAS_HINTS

/* Frees a block between two holes, of which the lower starts in leaf `hole` and has the leaves from
 * `first` to before the block's; the block ends in leaf `last`, `over` granules of which are its.
 */
APART void release_between(struct ffalloc_pool *pool, size_t start, size_t hole, size_t first,
                           size_t last, size_t over)
{
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[last];
    size_t right_leaf = leaf_after_run(pool, last + 1);
    size_t left = large_start(pool, hole);
    size_t end = first_granule_of(last) + over;
    size_t right = end_in_leaf(pool, right_leaf);
    large_merge(pool, left, start, end, right);
    pool->leaves[leaf].used = 0;
    words->used = 0;
    map_mark_run(pool, first, right_leaf, RUN_OF_HOLE);
    note_freed(pool, end - start);
    index_gained(pool, hole, right - left); /* the hints are low: it had a leaf and more */
    index_blank(pool, leaf, hole);
    index_blank(pool, last, hole);
    FFALLOC_LARGE_FREED(pool, bytes_of(pool, end - start));
}

/*
 * Frees a block that nothing is used before in its leaf, after a run of blank leaves: what a sweep
 * of frees does again and again, as of a queue. A loose hole grows, which then ends in the leaf
 * where the block did; or the block lies between two holes.
 */
static NOINLINE void release_after_run(struct ffalloc_pool *pool, size_t start, size_t above)
{
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    size_t run = words[-1].starts;
    size_t first = run >> 1 <= leaf ? leaf - (run >> 1) : leaf;
    size_t hole = first - (first > 0 && (ptrdiff_t)pool->leaves[first - 1].used > 0);
    struct leaf *next = words + 1;
    size_t over = 0;
    size_t beyond = above; /* what is used after the hole, in the leaf where it ends */
    if (!above) {
        if (leaf_is_blank(next) && next->starts & RUN_OF_BLOCK)
            next = &pool->leaves[leaf_beyond(pool, leaf + 1, next->starts)];
        over = leaf_ends_in_hole(words) ? 0 : lowest_bit(next->starts | ~next->used);
        beyond = next->used & -((size_t)1 << over);
    }
    size_t last = leaf + (size_t)(next - words);
    if (run & RUN_OF_BLOCK || (!above && leaf_is_blank(next))) {
        release_anyhow(pool, start);
    } else if (!beyond) {
        release_between(pool, start, hole, first, last, over);
    } else if (!large_is_loose(pool, first_granule_of(hole), 0)) {
        release_anyhow(pool, start);
    } else if (above) {
        note_freed(pool, used_from(words->used ^ above, start));
        words->used = above;
    } else {
        size_t count = used_from(words->used, start) + first_granule_of(last - leaf - 1) + over;
        note_freed(pool, count);
        words->used = 0;
        next->used = beyond;
        map_mark_run(pool, first, last, RUN_OF_HOLE);
        index_blank(pool, leaf, hole);
        FFALLOC_LARGE_FREED(pool, bytes_of(pool, count));
    }
}

#endif

/* Frees a block before which its leaf has no used granule. Here are the cases in which the hole
 * ends in this leaf, and starts in it or the one before. */
static NOINLINE void release_at_start(struct ffalloc_pool *pool, size_t start, size_t above)
{
    EXPECT(!(pool->leaves[leaf_of(start)].used & bits_below(start)));
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
#if HAS_HINTS
    if (leaf > 0 && leaf_is_blank(words - 1)) {
        release_after_run(pool, start, above);
        return;
    }
#endif
    if (!above || leaf == 0 || leaf_is_blank(words - 1)) {
        release_anyhow(pool, start);
        return;
    }
    size_t count = used_from(words->used ^ above, start);
    size_t before = leading_zeros(words[-1].used);
    words->used = above;
    note_freed(pool, count);
    index_freed(pool, leaf - (before > 0), before + lowest_bit(above));
}

/* The place of a granule in its leaf, of which this is the bit: to tell it by that keeps a register
 * less, and with 32-bit words, where there are enough, takes an instruction more. */
HOT size_t place_of(size_t granule, size_t bit)
{
    return WORD_LOG2 == 6 ? lowest_bit(bit) : granule & (WORD_BITS - 1);
}

void ffalloc_free(struct ffalloc_pool *pool, void *block)
{
    size_t start = granule_of(pool, block);
    if (start >= pool->granule_count) { /* NULL, too */
        ffalloc_wrong_pointer(pool, block);
        return;
    }
    size_t leaf = leaf_of(start);
    struct leaf *words = &pool->leaves[leaf];
    size_t bit = bit_of(start);
    size_t starts = words->starts ^ bit;
    size_t inner = words->used & ~starts; /* of this block all, of the others all but the start */
    if (!(inner & bit)) {                 /* none starts here */
        ffalloc_wrong_pointer(pool, block);
        return;
    }
    FFALLOC_TRACE_FREE(pool, block);
    words->starts = starts;
    size_t its = inner & (inner ^ (inner + bit)); /* the sum carries to where it ends */
    size_t used = words->used ^ its;
    size_t below = used & (bit - 1);
    size_t above = used ^ below;
    if (!below) {
        release_at_start(pool, start, used);
    } else if (!above) {
        release_at_end(pool, start, below);
    } else {
        words->used = used;
        note_freed(pool, lowest_bit(its + bit) - place_of(start, bit));
        index_freed(pool, leaf, lowest_bit(above) - end_of(below));
    }
}

#endif

size_t ffalloc_release(struct ffalloc_pool *pool, void *block)
{
    size_t before = pool->spare_granules;
    ffalloc_free(pool, block);
    return bytes_of(pool, pool->spare_granules - before);
}
