/* SPDX-License-Identifier: MIT */
#include "index.h"

/* The leftmost leaf below `node` of `level` whose byte is at least `least`; the node's is. */
static size_t descend(const struct ffalloc_pool *pool, unsigned level, size_t node, unsigned least)
{
    while (level > 0) {
        level--;
        node <<= FANOUT_LOG2;
        node += (size_t)__builtin_ctz(node_at_least(pool->levels[level] + node, least));
    }
    return node;
}

size_t ffalloc_index_next(const struct ffalloc_pool *pool, size_t leaf, unsigned least)
{
    size_t from = leaf;
    for (unsigned level = 0; level < pool->level_count; level++) {
        /* At a node's first child the whole node is ahead, which its parent's byte answers:
         * only the top has no parent. */
        unsigned child = (unsigned)(from & (FANOUT - 1));
        if (child || level + 1u == pool->level_count) {
            if (level + 1u == pool->level_count && from >= FANOUT)
                return NOT_FOUND;
            unsigned found = node_at_least(pool->levels[level] + (from - child), least) >> child;
            if (found)
                return descend(pool, level, from + (size_t)__builtin_ctz(found), least);
            from += FANOUT - child;
        }
        from >>= FANOUT_LOG2;
    }
    return NOT_FOUND;
}

unsigned ffalloc_index_count(const struct ffalloc_pool *pool, size_t leaf)
{
    size_t starts = pool->leaves[leaf].starts;
    size_t holes = starts ? pool->leaves[leaf].holes : 0;
    size_t largest = 0;
    while (holes) {
        size_t bit = lowest_bit(holes);
        size_t rest = starts >> bit >> 1;
        size_t count =
            rest ? lowest_bit(rest) + 1
                 : map_next(pool, first_granule_of(leaf) + bit) - (first_granule_of(leaf) + bit);
        largest = count > largest ? count : largest;
        holes &= holes - 1;
    }
    return saturated(largest);
}

void ffalloc_index_raise(struct ffalloc_pool *pool, size_t leaf, unsigned largest)
{
    size_t node = leaf;
    for (unsigned level = 0; level < pool->level_count; level++) {
        uint8_t *byte = &pool->levels[level][node];
        if (*byte >= largest)
            return;
        *byte = (uint8_t)largest;
        node >>= FANOUT_LOG2;
    }
}

void ffalloc_index_recount(struct ffalloc_pool *pool, size_t leaf)
{
    unsigned now = ffalloc_index_count(pool, leaf);
    size_t node = leaf;
    for (unsigned level = 0; level < pool->level_count; level++) {
        uint8_t *byte = &pool->levels[level][node];
        unsigned before = *byte;
        if (now == before)
            return;
        *byte = (uint8_t)now;
        if (level + 1u == pool->level_count)
            return;
        size_t parent = node >> FANOUT_LOG2;
        /* A smaller child changes the parent only if the parent's byte was this child's. */
        if (now < before && pool->levels[level + 1][parent] > before)
            return;
        now = node_max(pool->levels[level] + (parent << FANOUT_LOG2));
        node = parent;
    }
}
