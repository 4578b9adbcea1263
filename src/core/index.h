/* SPDX-License-Identifier: MIT */
/*
 * The index: the leaf in which the lowest hole of a size starts.
 *
 * Sizes up to 255 granules are answered by a tree of bytes. levels[0] has the size of the
 * largest hole that starts in each leaf (X1), each higher level the largest of FANOUT below it
 * (X2). The first leaf from some leaf on with a large enough hole is found by going up until a
 * node to the right has one, then down to the leftmost such child. With 64-bit words a hint (X3)
 * says for small sizes from which leaf on to look, and mostly that leaf is the one; for large ones,
 * and with 32-bit words for all, the search goes down from the top. The bytes are not mere bounds:
 * an adversary could otherwise prepare any number of leaves whose bound says yes and whose holes
 * say no. (A byte may count the end of a hole that starts in a leaf before. That misleads no search
 * for the lowest.)
 *
 * With one relief, where there are hints: a leaf's largest hole is often taken and soon freed
 * again, and the levels above need not follow each time. A few nodes of levels[1], the *stale*
 * ones, may be too high (X2). A search that one of them misleads looks at its leaves in vain and
 * goes on, a fixed number of times.
 *
 * Tried and dropped, since each cost instructions and time on the recorded traces:
 *   - leaves whose own byte may be too high: their recount, put off, cost more than at once;
 *   - hints that name a granule, so that the hole is known without a look at its leaf's other
 *     holes: true for half of the requests, and the other half and every free paid for it;
 *   - a look at all 16 leaves of the hint's node at once, without asking whether the hint is
 *     right: 16 bytes loaded right after one of them was stored wait for the store (up to a third
 *     of the time);
 *   - small sizes searched from the top, too: the stale nodes lie near the hint and mislead; and
 *     with no node stale it is 4 % more instructions, 18 for gawk;
 *   - no node stale whose byte is above the hints' sizes, or each made true when it has misled:
 *     what the searches gain the losses of large holes pay;
 *   - for each of the sizes up to 8, in place of its hint, a bit per leaf and a tree of words above
 *     (no search misled, none that climbs): a quarter more instructions, since a leaf that gains or
 *     loses a hole has bits of many sizes to set;
 *   - beside each hint a second leaf, from which on to look when the first has nothing more: half
 *     of such searches end there, and redis's trace took 8 % fewer instructions; but most frees
 *     have to keep it right, and the embedded traces took 5 % more (a second node: 3 and 5 %);
 *   - all hints lowered or raised at once, as vectors and without a branch: 3 % more time;
 *   - a freed block kept out of map and index while it alone is the lowest hole of its size, and
 *     handed out for that: on most traces fewer than a tenth of the frees are undone so, of up to a
 *     third that are kept.
 *
 * Larger holes show as 255 in the tree and are told apart by large.c.
 *
 * With FFALLOC_SMALL there is a simpler one, in small.c.
 */
#ifndef FFALLOC_CORE_INDEX_H
#define FFALLOC_CORE_INDEX_H

#include "large.h"
#include "map.h"

static inline unsigned saturated(size_t count)
{
    return count < SATURATED ? (unsigned)count : SATURATED;
}

/* The first leaf from `leaf` on in which a hole of `least` (1 to SATURATED) granules starts, or
 * NOT_FOUND. */
size_t ffalloc_index_next(const struct ffalloc_pool *pool, size_t leaf, unsigned least);

/* Sets the byte of a leaf and passes a change on to the levels above. */
void ffalloc_index_set(struct ffalloc_pool *pool, size_t leaf, unsigned now);

/* The index of a pool that is one hole, in the map already. */
void ffalloc_index_init(struct ffalloc_pool *pool);

#if !FFALLOC_SMALL

/* The lowest leaf in which a hole of `count` (1 to 255) granules starts, or NOT_FOUND. The hints
 * learn it. */
size_t ffalloc_index_first(struct ffalloc_pool *pool, size_t count);

/* Passes on to the levels above levels[1] that a byte there, over `leaf`, is now `largest`, which
 * is more than it was. */
void ffalloc_index_raise(struct ffalloc_pool *pool, size_t leaf, unsigned largest);

/* Passes on to the levels above, now or later, that the largest of the leaves' bytes below a node
 * of levels[1] was lowered. Returns `block`, so that a call of malloc can end with it. */
void *ffalloc_index_lose(struct ffalloc_pool *pool, size_t node, void *block);

/* Lowers the byte of a leaf, of which the largest hole is no more, to what is counted from the map.
 * No hole starts in it if it is blank. */
void ffalloc_index_lower(struct ffalloc_pool *pool, size_t leaf);

/* Sets the byte of a leaf to what is counted from the map. */
void ffalloc_index_recount(struct ffalloc_pool *pool, size_t leaf);

/* What the byte of a leaf is to be, from the map; the leaf is not inside a run of blank ones. */
unsigned ffalloc_index_count(const struct ffalloc_pool *pool, size_t leaf);

/* Finds the first byte that is at least `least` in the node that begins with byte `first` of a
 * level. */
HOT bool level_find(const uint8_t *level, size_t first, unsigned least, size_t *found)
{
    size_t after;
    if (!node_find(level + first, 0, least, &after))
        return false;
    *found = first + after;
    return true;
}

/* The first node of levels[base] at or below one of that or a higher level, whose byte is at least
 * `least`. */
HOT size_t descend(const struct ffalloc_pool *pool, unsigned level, unsigned base, size_t node,
                   unsigned least)
{
    while (level-- > base) {
        if (!level_find(pool->levels[level], node << FANOUT_LOG2, least, &node))
            return NOT_FOUND; /* not as X2 has it */
    }
    return node;
}

/* Whether there is a leaf of that number: a search ends with others where bytes that pad a level
 * are not 0 (X2). */
HOT bool index_has(const struct ffalloc_pool *pool, size_t leaf)
{
    return leaf < leaf_count_of(pool->granule_count);
}

/* Finds the first leaf from `leaf` on, in its node, in which a hole of `count` granules starts. */
HOT bool index_in_node(const struct ffalloc_pool *pool, size_t leaf, size_t count, size_t *found)
{
    unsigned position = (unsigned)leaf & (FANOUT - 1);
    size_t after;
    if (!node_find(pool->levels[0] + (leaf - position), position, (unsigned)count, &after))
        return false;
    *found = leaf + after;
    return true;
}

/* The first node of levels[base] after `node` whose byte is at least `least`, or NOT_FOUND. */
HOT size_t next_node(const struct ffalloc_pool *pool, unsigned base, size_t node, unsigned least)
{
    for (unsigned level = base; level < pool->level_count; level++) {
        unsigned position = (unsigned)node & (FANOUT - 1);
        size_t after;
        if (node_find(pool->levels[level] + (node - position), position + 1, least, &after))
            return descend(pool, level, base, node + 1 + after, least);
        node >>= FANOUT_LOG2;
    }
    return NOT_FOUND;
}

#if HAS_HINTS

/* The first leaf after a node of levels[1] in which a hole of `least` granules starts, or
 * NOT_FOUND. The nodes that one of levels[2] has are found all at once: a stale one misleads, and
 * the next is at hand. */
HOT size_t index_after(const struct ffalloc_pool *pool, size_t node, unsigned least)
{
    if (pool->level_count < 2)
        return NOT_FOUND;
    size_t above = node >> FANOUT_LOG2;
    unsigned from = ((unsigned)node & (FANOUT - 1)) + 1;
    size_t nodes = node_reach(pool->levels[1] + (above << FANOUT_LOG2), least) >> from << from;
    for (;;) {
        for (; nodes; nodes &= nodes - 1) {
            node = (above << FANOUT_LOG2) + lowest_bit(nodes);
            size_t leaf;
            if (index_in_node(pool, node << FANOUT_LOG2, least, &leaf))
                return leaf;
        }
        above = next_node(pool, 2, above, least);
        if (above == NOT_FOUND)
            return NOT_FOUND;
        nodes = node_reach(pool->levels[1] + (above << FANOUT_LOG2), least);
    }
}

#else

/* The first leaf after a node of levels[1] in which a hole of `least` granules starts, or
 * NOT_FOUND.
 */
HOT size_t index_after(const struct ffalloc_pool *pool, size_t node, unsigned least)
{
    while ((node = next_node(pool, 1, node, least)) != NOT_FOUND) {
        size_t leaf;
        if (index_in_node(pool, node << FANOUT_LOG2, least, &leaf))
            return leaf;
    }
    return NOT_FOUND;
}

#endif

/* Raises a leaf's byte to `largest` if it is less, and that of its node; returns whether levels
 * above must follow. */
HOT bool index_raise_leaf(struct ffalloc_pool *pool, size_t leaf, unsigned largest)
{
    if (largest <= pool->levels[0][leaf])
        return false;
    pool->levels[0][leaf] = (uint8_t)largest;
    uint8_t *node = &pool->levels[1][leaf >> FANOUT_LOG2];
    if (largest <= *node)
        return false;
    *node = (uint8_t)largest;
    return pool->tree_pointers > 2;
}

/* Lowers a leaf's byte to `smaller`, if it is higher; returns whether the levels above must follow.
 * (What is counted from the bits may be more than the byte, X1: then that stays.) */
HOT bool index_lower_leaf(struct ffalloc_pool *pool, size_t leaf, unsigned smaller)
{
    unsigned before = pool->levels[0][leaf];
    if (smaller >= before)
        return false;
    pool->levels[0][leaf] = (uint8_t)smaller;
    return pool->levels[1][leaf >> FANOUT_LOG2] == before;
}

/* A piece of `count` granules of a hole begins in `leaf`. */
HOT void index_gained(struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    if (index_raise_leaf(pool, leaf, saturated(count)))
        ffalloc_index_raise(pool, leaf, saturated(count));
}

/* Of the hole that begins before `leaf` or with it, whose piece there was of `count` granules, only
 * the last `rest` remain. */
HOT void index_piece_lost(struct ffalloc_pool *pool, size_t leaf, size_t count, size_t rest)
{
    unsigned byte = pool->levels[0][leaf];
    if (byte < saturated(rest))
        index_gained(pool, leaf, rest);
    else if (byte > rest && byte <= count)
        ffalloc_index_lower(pool, leaf);
}

#if !HAS_HINTS

/* Finds the lowest leaf in which a hole of `count` (1 to 255) granules starts. */
HOT bool index_find(const struct ffalloc_pool *pool, size_t count, size_t *leaf)
{
    uint8_t *const *level = pool->levels + pool->level_count;
    *leaf = 0;
    do {
        if (!level_find(*--level, *leaf << FANOUT_LOG2, (unsigned)count, leaf))
            return false; /* as the top level says */
    } while (level != pool->levels);
    return true;
}

#endif

/* The lowest leaf from `leaf` on in which a hole of `count`, above SATURATED, granules starts, or
 * NOT_FOUND. */
static inline size_t index_large(const struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    size_t end;
    size_t start = ffalloc_large_next(pool, leaf, count, &end);
    return start == NOT_FOUND ? NOT_FOUND : leaf_of(start);
}

/* The lowest leaf in which a hole of `count` granules, however many, starts, or NOT_FOUND. */
static inline size_t index_lowest(struct ffalloc_pool *pool, size_t count)
{
    return count > SATURATED ? index_large(pool, 0, count) : ffalloc_index_first(pool, count);
}

/* The hole that starts in another leaf, `hole`, whose byte counts it already, took on granules of
 * `leaf`, perhaps all. What `leaf` had is part of that hole: a node of both stays what it is. */
HOT void index_blank(struct ffalloc_pool *pool, size_t leaf, size_t hole)
{
    if (!leaf_is_blank(&pool->leaves[leaf]))
        return;
    if (leaf >> FANOUT_LOG2 == hole >> FANOUT_LOG2)
        pool->levels[0][leaf] = 0;
    else if (pool->levels[0][leaf])
        ffalloc_index_set(pool, leaf, 0);
}

#endif
#endif
