/* SPDX-License-Identifier: MIT */
/*
 * malloc and free. The usual case of either happens inside one leaf, in registers, nearly without
 * a branch, and calls nothing that it would have to return from: a request is served from a leaf
 * that does not end in a hole; a freed block has a used granule before and after it in its leaf.
 * Then no run changes (M3), no hole is large, and all that the index may need is one byte.
 *
 * Where a leaf ends in a hole, or the block that is freed reaches into the next leaf, that next one
 * is looked at too (malloc_at_end, release_at_end). With 32-bit words and a granule of 8 a leaf is
 * 256 bytes, and a third of the calls end there. What concerns yet another leaf is left to
 * blocks.c, which does all cases.
 */
#include "calls.h"

/* Whether the last hole of `leaf`, after which lies a blank leaf, is a loose one that stays large
 * whatever happens in these two. */
HOT bool is_front_of_loose(const struct ffalloc_pool *pool, size_t leaf)
{
    return large_is_loose(pool, leaf) && pool->leaves[leaf + 1].starts >> 1 > LARGE / WORD_BITS;
}

/* Serves a request from the last hole of a leaf, which reaches beyond it. */
static void *place_at_end(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    size_t place = leaf_last_hole(&pool->leaves[leaf]);
    return ffalloc_place(pool, first_granule_of(leaf) + place, count, size);
}

__attribute__((noinline)) static void *malloc_large(struct ffalloc_pool *pool, size_t count,
                                                    size_t size)
{
    size_t leaf = ffalloc_large_next(pool, 0, count);
    if (leaf == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    return place_at_end(pool, leaf, count, size);
}

/* A leaf's largest hole was taken, whose size was also the largest of its node. */
__attribute__((noinline)) static void *after_loss(struct ffalloc_pool *pool, size_t leaf,
                                                  void *block)
{
    ffalloc_index_make_stale(pool, leaf >> FANOUT_LOG2);
    return block;
}

/* Serves a request from the hole at `bit` of a leaf that ends in another one. */
HOT void *malloc_before_end(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size,
                            size_t bit)
{
    struct leaf *words = &pool->leaves[leaf];
    size_t hole_count = lowest_bit(words->used & -bit) - lowest_bit(bit);
    words->used |= (bit << count) - bit;
    words->starts |= bit;
    index_lost(pool, leaf, hole_count);
    return note_placed(pool, first_granule_of(leaf) + lowest_bit(bit), count, size);
}

/* Carves a block from the front of a loose hole that starts in `leaf` and has at least a page more
 * than the next one; `over` granules of the block lie in that. */
static void carve_loose(struct ffalloc_pool *pool, size_t leaf, size_t over)
{
    struct leaf *next = &pool->leaves[leaf + 1];
    size_t run = next->starts >> 1;
    *next = (struct leaf){((size_t)1 << over) - 1, 0};
    map_mark_run(pool, leaf + 2, leaf + 1 + run, RUN_OF_HOLE);
    pool->loose[pool->loose[CARVED] == leaf ? CARVED : GROWN] = (uint32_t)leaf + 1;
    index_gained(pool, leaf + 1, SATURATED);
    ffalloc_index_set(pool, leaf, mask_longest(~pool->leaves[leaf].used));
}

/*
 * Serves a request from a leaf that ends in a hole: at `bit`, or from that last hole if that is 0.
 * Here are the cases in which no leaf but this one and the next is concerned.
 */
__attribute__((noinline)) static void *malloc_at_end(struct ffalloc_pool *pool, size_t leaf,
                                                     size_t count, size_t size, size_t bit)
{
    struct leaf *words = &pool->leaves[leaf];
    struct leaf *next = words + 1;
    if (bit && bit < words->used)
        return malloc_before_end(pool, leaf, count, size, bit);
    bool is_loose = leaf_is_blank(next);
    if (leaf_is_blank(words) || (is_loose && !is_front_of_loose(pool, leaf)))
        return place_at_end(pool, leaf, count, size);
    size_t start = leaf_last_hole(words);
    size_t here = WORD_BITS - start;
    size_t hole_count = is_loose ? SATURATED : here + lowest_bit(next->used);
    size_t over = count - here; /* or negative */
    if (count > hole_count || (count > here && over >= WORD_BITS) || (is_loose && over == 0))
        return place_at_end(pool, leaf, count, size);

    bit = (size_t)1 << start;
    words->starts |= bit;
    if (count < here) {
        words->used |= (bit << count) - bit;
        if (pool->levels[0][leaf] == hole_count && !is_loose) {
            size_t longest = mask_longest(~words->used);
            size_t rest = hole_count - count;
            ffalloc_index_set(pool, leaf, (unsigned)(longest > rest ? longest : rest));
        }
    } else {
        words->used |= -bit;
        if (is_loose) {
            carve_loose(pool, leaf, over);
        } else {
            next->used |= ((size_t)1 << over) - 1;
            index_piece_lost(pool, leaf + 1, hole_count - here, hole_count - count);
            if (pool->levels[0][leaf] == hole_count)
                ffalloc_index_set(pool, leaf, mask_longest(~words->used));
        }
    }
    return note_placed(pool, first_granule_of(leaf) + start, count, size);
}

/*
 * Serves a request from the leaf that has the lowest hole for it. The leaf's byte is counted anew
 * whichever hole was taken: that is cheaper than to ask.
 */
HOT void *malloc_in(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t size)
{
    if (FFALLOC_SMALL)
        return ffalloc_place(pool, leaf_lowest_fit(pool, leaf, count), count, size);
    struct leaf *words = &pool->leaves[leaf];
    size_t used = words->used;
    size_t runs = mask_runs(~used, count);
    size_t bit = runs & -runs;
    if (!bit || leaf_ends_in_hole(words))
        return malloc_at_end(pool, leaf, count, size, bit);
    size_t now_used = used | ((bit << (count - 1) << 1) - bit);
    words->used = now_used;
    words->starts |= bit;
    void *block = note_placed(pool, first_granule_of(leaf) + lowest_bit(bit), count, size);
    if (index_lower_leaf(pool, leaf, mask_longest(~now_used)))
        return after_loss(pool, leaf, block);
    return block;
}

/* The hint is too low, or there is none for just this size. */
__attribute__((noinline)) static void *malloc_far(struct ffalloc_pool *pool, size_t count,
                                                  size_t size)
{
    size_t leaf = index_first(pool, count);
    if (leaf == NOT_FOUND)
        return ffalloc_refuse(pool, size, bytes_of(pool, 1));
    if (count <= LARGEST_HINT)
        index_raise_hints(pool, count <= 8 ? count - 1 : HINTS - 1, leaf);
    return count < WORD_BITS ? malloc_in(pool, leaf, count, size)
                             : malloc_at_end(pool, leaf, count, size, 0);
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
    size_t end = map_block_end(pool, start);
    note_freed(pool, end - start);
    return ffalloc_blocks_release(pool, start, end);
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
 * Frees a block after which its leaf ends in a hole. Here are the cases in which that starts in the
 * same leaf, and ends in the next one or is a loose one.
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
    if (!below)
        return release_anyhow(pool, start);
    if (ends && leaf_is_blank(next) && is_front_of_loose(pool, leaf)) {
        words->used = below;
        words->starts ^= bit;
        return note_freed(pool, lowest_bit(ends) + 1);
    }
    size_t over = ends ? 0 : lowest_bit(next->starts | ~next->used);
    size_t above = next->used & -((size_t)1 << over);
    if (leaf_is_blank(next) || !above)
        return release_anyhow(pool, start);
    words->used = below;
    words->starts ^= bit;
    next->used = above;
    size_t count = note_freed(pool, ends ? lowest_bit(ends) + 1 : WORD_BITS - position + over);
    return index_freed(pool, leaf, leading_zeros(below) + lowest_bit(above), count);
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
    size_t bit = bit_of(start);
    size_t ends = (words->starts | ~words->used) & -bit << 1;
    size_t end_bit = ends & -ends;
    size_t used = words->used ^ (end_bit - bit);
    size_t below = used & (bit - 1);
    size_t above = used & -bit;
    if (!below || !above)
        return release_at_end(pool, start);
    words->used = used;
    words->starts ^= bit;
    size_t count = note_freed(pool, lowest_bit(end_bit) - (start & (WORD_BITS - 1)));
    return index_freed(pool, leaf, lowest_bit(above) - highest_bit(below) - 1, count);
}

size_t ffalloc_release(struct ffalloc_pool *pool, void *block)
{
    return bytes_of(pool, release(pool, block));
}

void ffalloc_free(struct ffalloc_pool *pool, void *block)
{
    release(pool, block);
}
