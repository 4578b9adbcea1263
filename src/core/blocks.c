/* SPDX-License-Identifier: MIT */
#include "blocks.h"

void ffalloc_blocks_cut(struct ffalloc_pool *pool, size_t start, size_t end, size_t count)
{
    size_t hole_count = end - start;
    size_t rest_count = hole_count - count;
    size_t rest = start + count;
    size_t leaf = leaf_of(start);
    enum loose place = CARVED;
    if (hole_count >= LARGE)
        place = large_remove(pool, leaf, CARVED);
    map_set_used(pool, start);
    if (rest_count == 0) {
        index_lost(pool, leaf, hole_count);
        return;
    }
    map_add_start(pool, rest, true);
    map_mark_run(pool, start, rest);
    map_mark_run(pool, rest, end);
    if (rest_count >= LARGE)
        large_add(pool, leaf_of(rest), place);
    if (leaf_of(rest) != leaf)
        index_gained(pool, leaf_of(rest), rest_count);
    else if (rest_count >= SATURATED)
        return; /* 255 before and after */
    index_lost(pool, leaf, hole_count);
}

void ffalloc_blocks_cut_at(struct ffalloc_pool *pool, size_t hole, size_t at, size_t end,
                           size_t count)
{
    size_t rest = at + count;
    size_t leaf = leaf_of(hole);
    if (end - hole >= LARGE)
        large_remove(pool, leaf, CARVED);
    map_add_start(pool, at, false);
    map_mark_run(pool, hole, at);
    if (rest != end) {
        map_add_start(pool, rest, true);
        map_mark_run(pool, rest, end);
    }
    map_mark_run(pool, at, rest);
    if (at - hole >= LARGE)
        large_add(pool, leaf, GROWN);
    if (end - rest >= LARGE)
        large_add(pool, leaf_of(rest), CARVED);
    if (leaf_of(rest) != leaf)
        index_gained(pool, leaf_of(rest), end - rest);
    index_lost(pool, leaf, end - hole);
}

void ffalloc_blocks_release(struct ffalloc_pool *pool, size_t start, size_t end)
{
    size_t left = start;
    size_t right = end;
    if (start > 0) {
        size_t prev = map_prev(pool, start);
        if (map_is_hole(pool, prev))
            left = prev;
    }
    if (map_is_hole(pool, end))
        right = map_next(pool, end);
    enum loose place = GROWN;
    if (right - end >= LARGE)
        place = large_remove(pool, leaf_of(end), place);
    if (start - left >= LARGE)
        place = large_remove(pool, leaf_of(left), place);

    if (right != end)
        map_remove_start(pool, end);
    if (left != start)
        map_remove_start(pool, start);
    else
        map_set_hole(pool, start);
    map_mark_run(pool, left, right);

    size_t leaf = leaf_of(left);
    index_gained(pool, leaf, right - left);
    index_lower_hints(pool, leaf, right - left);
    if (right != end && leaf_of(end) != leaf)
        index_lost(pool, leaf_of(end), right - end);
    if (right - left >= LARGE)
        large_add(pool, leaf, place);
}
