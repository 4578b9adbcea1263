/* SPDX-License-Identifier: MIT */
#include "hints.h"

#if !FFALLOC_SMALL

/* In use before a higher leaf has a byte: calls look at levels[1] without asking. */
#define FIRST_LEVELS 2u

APART size_t next_after(const struct ffalloc_pool *pool, size_t leaf, unsigned least)
{
    leaf = index_after(pool, leaf >> FANOUT_LOG2, least);
    return index_has(pool, leaf) ? leaf : NOT_FOUND;
}

size_t ffalloc_index_next(const struct ffalloc_pool *pool, size_t leaf, unsigned least)
{
    EXPECT(least >= 1 && least <= SATURATED);
    if (leaf >= leaf_count_of(pool->granule_count))
        return NOT_FOUND;
    size_t found;
    if (index_in_node(pool, leaf, least, &found))
        return index_has(pool, found) ? found : NOT_FOUND;
    return next_after(pool, leaf, least);
}

#if HAS_HINTS

size_t ffalloc_index_first(struct ffalloc_pool *pool, size_t count)
{
    EXPECT(count >= 1 && count <= SATURATED);
    size_t leaf = pool->hints[hint_of(count)];
    size_t found;
    if (!index_in_node(pool, leaf, count, &found)) {
        found = next_after(pool, leaf, (unsigned)count);
        if (found == NOT_FOUND)
            return NOT_FOUND;
    }
    hints_raise(pool, count, found);
    return found;
}

#else

size_t ffalloc_index_first(struct ffalloc_pool *pool, size_t count)
{
    EXPECT(count >= 1 && count <= SATURATED);
    size_t leaf;
    return index_find(pool, count, &leaf) ? leaf : NOT_FOUND;
}

#endif

/* The largest of the holes in a leaf, as far as its bits tell (X1); if it is blank, a hole starts
 * with it. */
HOT size_t longest_in(const struct ffalloc_pool *pool, size_t leaf)
{
    const struct leaf *words = &pool->leaves[leaf];
    size_t longest = leaf_is_blank(words) ? 0 : mask_longest(~words->used);
    if (leaf_ends_in_hole(words)) {
        size_t start = first_granule_of(leaf) + leaf_last_hole(words);
        size_t last = map_hole_end(pool, start) - start;
        longest = last > longest ? last : longest;
    }
    return longest;
}

unsigned ffalloc_index_count(const struct ffalloc_pool *pool, size_t leaf)
{
    const struct leaf *words = &pool->leaves[leaf];
    size_t first = first_granule_of(leaf);
    if (leaf_is_blank(words) &&
        (words->starts & RUN_OF_BLOCK || map_hole_start(pool, first) != first))
        return 0;
    return saturated(longest_in(pool, leaf));
}

void ffalloc_index_raise(struct ffalloc_pool *pool, size_t leaf, unsigned largest)
{
    size_t node = leaf >> FANOUT_LOG2;
    for (unsigned level = 2;; level++) {
        if (level == pool->level_count) {
            if (node < FANOUT)
                return;
            pool->levels[level][0] = (uint8_t)node_max(pool->levels[level - 1]);
            pool->level_count++;
        }
        node >>= FANOUT_LOG2;
        uint8_t *byte = &pool->levels[level][node];
        if (*byte >= largest)
            return;
        *byte = (uint8_t)largest;
    }
}

#if HAS_HINTS

/*
 * Lowers the byte of a node of levels[1] and those above that were it: a smaller child changes its
 * parent only if the parent's byte was this child's. A node's other bytes are looked at before the
 * byte is written: a load of 16 bytes right after a store of one of them would wait for the store
 * to leave the processor's buffer.
 */
static NOINLINE void *lower_node(struct ffalloc_pool *pool, size_t node, unsigned now, void *block)
{
    uint8_t *const *level = pool->levels + 1;
    uint8_t *const *end = pool->levels + pool->level_count;
    unsigned before = (*level)[node];
    do {
        uint8_t *byte = *level + node;
        unsigned child = (unsigned)node & (FANOUT - 1);
        unsigned others = node_max_but(byte - child, child);
        *byte = (uint8_t)now;
        if (others == before)
            return block;
        now = others > now ? others : now;
        node >>= FANOUT_LOG2;
    } while (++level + 1 < end && level[1][node >> FANOUT_LOG2] == before);
    (*level)[node] = (uint8_t)now;
    return block;
}

void *ffalloc_index_lose(struct ffalloc_pool *pool, size_t node, void *block)
{
    uint32_t *slot = &pool->stale[node & (STALE_NODES - 1)];
    size_t former = *slot;
    *slot = (uint32_t)node;
    if (former == node || former == NO_LEAF)
        return block;
    uint8_t *byte = &pool->levels[1][former];
    unsigned now = node_max(pool->levels[0] + (former << FANOUT_LOG2));
    if (now == *byte)
        return block;
    if (pool->level_count > 2 && pool->levels[2][former >> FANOUT_LOG2] == *byte)
        return lower_node(pool, former, now, block);
    *byte = (uint8_t)now;
    return block;
}

#else

void *ffalloc_index_lose(struct ffalloc_pool *pool, size_t node, void *block)
{
    uint8_t *const *level = pool->levels;
    for (;;) {
        unsigned now = node_max(*level++ + (node << FANOUT_LOG2));
        unsigned before = (*level)[node];
        if (now == before)
            return block;
        (*level)[node] = (uint8_t)now;
        node >>= FANOUT_LOG2;
        /* A smaller child changes its parent only if the parent's byte was this child's. */
        if (level + 1 >= pool->levels + pool->level_count || level[1][node] != before)
            return block;
    }
}

#endif

void ffalloc_index_set(struct ffalloc_pool *pool, size_t leaf, unsigned now)
{
    EXPECT(leaf < leaf_count_of(pool->granule_count) && now <= SATURATED);
    if (index_raise_leaf(pool, leaf, now))
        ffalloc_index_raise(pool, leaf, now);
    else if (index_lower_leaf(pool, leaf, now))
        ffalloc_index_lose(pool, leaf >> FANOUT_LOG2, NULL);
}

void ffalloc_index_lower(struct ffalloc_pool *pool, size_t leaf)
{
    size_t longest = leaf_is_blank(&pool->leaves[leaf]) ? 0 : longest_in(pool, leaf);
    if (index_lower_leaf(pool, leaf, saturated(longest)))
        ffalloc_index_lose(pool, leaf >> FANOUT_LOG2, NULL);
}

void ffalloc_index_recount(struct ffalloc_pool *pool, size_t leaf)
{
    ffalloc_index_set(pool, leaf, ffalloc_index_count(pool, leaf));
}

void ffalloc_index_init(struct ffalloc_pool *pool)
{
    if (pool->level_count > FIRST_LEVELS)
        pool->level_count = FIRST_LEVELS;
#if HAS_HINTS
    for (unsigned i = 0; i < STALE_NODES; i++)
        pool->stale[i] = NO_LEAF;
    pool->hints[HINTS] = NO_LEAF;
    pool->loose[CARVED] = NO_LEAF;
    pool->loose[GROWN] = NO_LEAF;
    if (pool->granule_count >= LARGE)
        large_add(pool, 0, CARVED);
#endif
    index_gained(pool, 0, pool->granule_count);
}

#endif
