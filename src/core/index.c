/* SPDX-License-Identifier: MIT */
#include "index.h"

/* The first leaf at or below a node of a level, whose byte is at least `least`; FANOUT if its byte
 * is too high (X2). */
static size_t descend(const struct ffalloc_pool *pool, unsigned level, size_t node, unsigned least)
{
    while (level-- > 0) {
        node <<= FANOUT_LOG2;
        node += node_first(pool->levels[level] + node, 0, least);
    }
    return node;
}

/* The first leaf from `leaf` on whose byte is at least `least`, or, where a stale node misled the
 * search, the first one after that node. */
static size_t next_or_misled(const struct ffalloc_pool *pool, size_t leaf, unsigned least)
{
    size_t node = leaf;
    unsigned from = 0;
    for (unsigned level = 0; level < pool->level_count; level++) {
        unsigned position = (unsigned)node & (FANOUT - 1);
        unsigned found =
            node_first(pool->levels[level] + (node - position), position + from, least);
        if (found < FANOUT)
            return descend(pool, level, node - position + found, least);
        node >>= FANOUT_LOG2;
        from = 1;
    }
    return NOT_FOUND;
}

size_t ffalloc_index_next(const struct ffalloc_pool *pool, size_t leaf, unsigned least)
{
    size_t leaf_count = leaf_count_of(pool->granule_count);
    while (leaf < leaf_count) {
        leaf = next_or_misled(pool, leaf, least);
        if (leaf < leaf_count && pool->levels[0][leaf] >= least)
            return leaf;
    }
    return NOT_FOUND;
}

unsigned ffalloc_index_count(const struct ffalloc_pool *pool, size_t leaf)
{
    const struct leaf *words = &pool->leaves[leaf];
    if (!words->starts)
        return 0;
    size_t largest = mask_longest(leaf_free_mask(words->starts, words->holes));
    if (leaf_ends_in_hole(words)) {
        size_t start = first_granule_of(leaf) + highest_bit(words->holes);
        size_t count = map_next(pool, start) - start;
        largest = count > largest ? count : largest;
    }
    return saturated(largest);
}

void ffalloc_index_raise(struct ffalloc_pool *pool, size_t leaf, unsigned largest)
{
    size_t node = leaf;
    for (unsigned level = 1; level < pool->level_count; level++) {
        node >>= FANOUT_LOG2;
        uint8_t *byte = &pool->levels[level][node];
        if (*byte >= largest)
            return;
        *byte = (uint8_t)largest;
    }
}

/*
 * Sets the byte of a node of levels[1] and passes a change on to the levels above. A node's other
 * bytes are looked at before the byte is written: a load of 16 bytes right after a store of one
 * of them would wait for the store to leave the processor's buffer.
 */
__attribute__((noinline)) static void set_node(struct ffalloc_pool *pool, size_t node, unsigned now)
{
    for (unsigned level = 1;; level++) {
        uint8_t *bytes = pool->levels[level];
        unsigned before = bytes[node];
        if (now == before)
            return;
        size_t parent = node >> FANOUT_LOG2;
        /* A smaller child changes its parent only if the parent's byte was this child's. */
        if (level + 1u == pool->level_count ||
            (now < before && pool->levels[level + 1][parent] > before)) {
            bytes[node] = (uint8_t)now;
            return;
        }
        unsigned child = (unsigned)(node & (FANOUT - 1));
        unsigned others = node_max_but(bytes + (node - child), child);
        bytes[node] = (uint8_t)now;
        now = others > now ? others : now;
        node = parent;
    }
}

void ffalloc_index_make_stale(struct ffalloc_pool *pool, size_t node)
{
    uint32_t *slot = &pool->stale[node & (STALE_NODES - 1)];
    size_t former = *slot;
    *slot = (uint32_t)node;
    if (former == node || former == NO_LEAF)
        return;
    unsigned now = node_max(pool->levels[0] + (former << FANOUT_LOG2));
    if (now != pool->levels[1][former])
        set_node(pool, former, now);
}

void ffalloc_index_recount(struct ffalloc_pool *pool, size_t leaf)
{
    unsigned now = ffalloc_index_count(pool, leaf);
    if (index_lower_leaf(pool, leaf, now))
        ffalloc_index_make_stale(pool, leaf >> FANOUT_LOG2);
}
