/* SPDX-License-Identifier: MIT */
#include "calls.h"

#if !FFALLOC_SMALL

/* The index after a hole from `start` to `end` in the map lost what lies below `rest`. */
HOT void index_cut(struct ffalloc_pool *pool, size_t start, size_t rest, size_t end)
{
    size_t leaf = leaf_of(start);
    size_t rest_leaf = leaf_of(rest);
    bool is_largest = pool->levels[0][leaf] == saturated(end - start);
    if (rest_leaf == leaf) {
        if (is_largest && end - rest < SATURATED)
            ffalloc_index_lower(pool, leaf);
        return;
    }
    index_piece_lost(pool, rest_leaf, end - first_granule_of(rest_leaf), end - rest);
    if (is_largest)
        ffalloc_index_lower(pool, leaf);
}

HOT void cut(struct ffalloc_pool *pool, size_t block, size_t start, size_t end, size_t count)
{
    EXPECT(block <= start && count >= 1 && count <= end - start && end <= pool->granule_count);
    size_t rest = start + count;
    large_cut(pool, start, rest, end);
    map_take(pool, block, start, rest);
    map_mark_hole(pool, rest, end);
    index_cut(pool, start, rest, end);
}

void ffalloc_blocks_cut(struct ffalloc_pool *pool, size_t block, size_t start, size_t end,
                        size_t count)
{
    cut(pool, block, start, end, count);
}

void ffalloc_blocks_cut_at(struct ffalloc_pool *pool, size_t hole, size_t at, size_t end,
                           size_t count)
{
    EXPECT(hole < at && count >= 1 && at + count <= end && end <= pool->granule_count);
    size_t rest = at + count;
    large_cut(pool, hole, rest, end);
    if (at - hole >= LARGE)
        large_put(pool, hole, at);
    map_take(pool, at, at, rest);
    map_mark_hole(pool, hole, at);
    map_mark_hole(pool, rest, end);
    ffalloc_index_recount(pool, leaf_of(hole));
    if (leaf_of(at) != leaf_of(hole))
        ffalloc_index_recount(pool, leaf_of(at));
    if (leaf_of(rest) != leaf_of(at))
        ffalloc_index_recount(pool, leaf_of(rest));
}

/* Makes free what lies from `from` to `end`, merged with a hole on the right, and with one that
 * starts at `left`. */
HOT void release_to(struct ffalloc_pool *pool, size_t left, size_t from, size_t end)
{
    EXPECT(left <= from && from < end && end <= pool->granule_count);
    size_t right = map_hole_end(pool, end);
    size_t leaf = leaf_of(left);
    large_merge(pool, left, from, end, right);
    map_give(pool, from, end);
    map_mark_hole(pool, left, right);
    index_gained(pool, leaf, right - left);
    hints_lower(pool, leaf, right - left);
    if (leaf_of(from) != leaf)
        index_blank(pool, leaf_of(from), leaf);
    if (leaf_of(end) != leaf_of(from))
        index_blank(pool, leaf_of(end), leaf);
}

void ffalloc_blocks_release(struct ffalloc_pool *pool, size_t start)
{
    size_t end = map_block_end(pool, start);
    release_to(pool, map_hole_start(pool, start), start, end);
    note_freed(pool, end - start);
}

void ffalloc_blocks_trim(struct ffalloc_pool *pool, size_t start, size_t from, size_t end)
{
    EXPECT(start < from && from < end && end <= pool->granule_count);
    map_split_block(pool, start, from);
    release_to(pool, from, from, end);
}

void *ffalloc_place(struct ffalloc_pool *pool, size_t start, size_t end, size_t count, size_t size)
{
    if (start >= end || end - start < count || !raise_mark(pool, start + count))
        return ffalloc_refuse_damaged(pool, start);
    cut(pool, start, start, end, count);
    return note_placed(pool, start, count, size);
}

void *ffalloc_after_placed(struct ffalloc_pool *pool, size_t leaf, size_t free, void *block)
{
    if (index_lower_leaf(pool, leaf, mask_longest_from_4(free, mask_runs_of_4(free))))
        return ffalloc_index_lose(pool, leaf >> FANOUT_LOG2, block);
    return block;
}

NOINLINE void *ffalloc_after_last(struct ffalloc_pool *pool, size_t leaf, size_t rest, void *block)
{
    unsigned longest = rest < WORD_BITS ? mask_longest(~pool->leaves[leaf].used) : 0;
    if (index_lower_leaf(pool, leaf, longest > rest ? longest : (unsigned)rest))
        return ffalloc_index_lose(pool, leaf >> FANOUT_LOG2, block);
    return block;
}

void *ffalloc_after_inner(struct ffalloc_pool *pool, size_t leaf, size_t its, void *block)
{
    const struct leaf *words = &pool->leaves[leaf];
    size_t bit = its & -its;
    size_t below = words->used & (bit - 1);
    size_t hole = below ? end_of(below) : 0;
    if (lowest_bit(words->used & -(its + bit)) - hole != pool->levels[0][leaf])
        return block;
    /* The last hole is no larger, so it ends in the next leaf, or with this one. */
    size_t last = leading_zeros(words->used);
    if (!leaf_is_blank(words + 1))
        last += lowest_bit(words[1].used);
    return ffalloc_after_last(pool, leaf, last, block);
}

#endif
