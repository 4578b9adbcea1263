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

/* As ffalloc_index_next, from a leaf that exists. Above the leaves only what is to the right of
 * the path can still matter. */
static size_t next_from(const struct ffalloc_pool *pool, size_t leaf, unsigned least)
{
    size_t node = leaf;
    unsigned wanted = ~0u << (leaf & (FANOUT - 1));
    for (unsigned level = 0; level < pool->level_count; level++) {
        size_t first = node & ~(size_t)(FANOUT - 1);
        unsigned found = node_at_least(pool->levels[level] + first, least) & wanted;
        if (found)
            return descend(pool, level, first + (size_t)__builtin_ctz(found), least);
        node >>= FANOUT_LOG2;
        wanted = ~1u << (node & (FANOUT - 1));
    }
    return NOT_FOUND;
}

size_t ffalloc_index_next(const struct ffalloc_pool *pool, size_t leaf, unsigned least)
{
    if (leaf >= leaf_count_of(pool->granule_count))
        return NOT_FOUND;
    return next_from(pool, leaf, least);
}

size_t ffalloc_index_find_on(struct ffalloc_pool *pool, size_t count)
{
    size_t hint = hint_of(count);
    size_t leaf = next_from(pool, pool->hints[hint], (unsigned)count);
    if (leaf == NOT_FOUND || count > HINTS)
        return leaf;
    /* What holds no `count` granules holds no more than that either: raise the larger ones. */
    while (hint < HINTS && pool->hints[hint] < leaf)
        pool->hints[hint++] = (uint32_t)leaf;
    return leaf;
}

unsigned ffalloc_index_count(const struct ffalloc_pool *pool, size_t leaf)
{
    const struct leaf *words = &pool->leaves[leaf];
    if (!words->starts)
        return 0;
    size_t largest = mask_longest(leaf_free_mask(words));
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

/* The node's other bytes are looked at before the byte is written: a load of 16 bytes right after
 * a store of one of them would wait for the store to leave the processor's buffer. */
void ffalloc_index_set(struct ffalloc_pool *pool, size_t leaf, unsigned now)
{
    size_t node = leaf;
    for (unsigned level = 0;; level++) {
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

void ffalloc_index_recount(struct ffalloc_pool *pool, size_t leaf)
{
    ffalloc_index_set(pool, leaf, ffalloc_index_count(pool, leaf));
}
