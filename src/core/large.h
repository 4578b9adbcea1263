/* SPDX-License-Identifier: MIT */
/*
 * Holes of LARGE granules and more, told apart by their exact size.
 *
 * At most one of them starts in any *page* of LARGE granules, in the one leaf whose byte is 255.
 * Each page has a word with the size of the one that starts in it (L1), and above the pages lies a
 * tree of maxima (L2), like that of the leaves' bytes: a quarter of a percent of the pool, and none
 * in a pool smaller than a page.
 *
 * A few holes are *loose*, kept out of the tree, since at each step it would have to follow. With
 * hints (hints.h), those are the one last carved and the one last grown: requests are carved from
 * the front of one hole, often the rest of the pool, and a sweep of frees grows one. Without, where
 * it is the worst call that counts, it is the one that ends with the pool, whose size is known
 * anyhow: to put back into the tree what was loose before would cost that call more than it saves.
 *
 * Before, these holes formed a priority search tree (McCreight 1985) whose links lay in spare words
 * of the map. It took no memory, but a walk down one path for each hole that a free merges made the
 * worst call of a pool of 1 GiB 4166 instructions on x86-64, and of 64 KiB 1470 on Cortex-M4.
 *
 * Tried and dropped: two pages whose words count from the page's first granule, so that the holes
 * there may lose and gain at their fronts. As they pass from page to page the tree follows (lua's
 * trace took a fifth more instructions, g++'s a twelfth).
 */
#ifndef FFALLOC_CORE_LARGE_H
#define FFALLOC_CORE_LARGE_H

#include "map.h"

#if !FFALLOC_SMALL

static inline size_t page_of_leaf(size_t leaf)
{
    return leaf >> (LARGE_LOG2 - WORD_LOG2);
}

/* The words of a level of pages. */
static inline uint32_t *page_level(const struct ffalloc_pool *pool, unsigned level)
{
    return (uint32_t *)(void *)pool->levels[pool->tree_level_count + level];
}

/* The start of the large hole that starts in `leaf`: always the leaf's last. */
static inline size_t large_start(const struct ffalloc_pool *pool, size_t leaf)
{
    return first_granule_of(leaf) + leaf_last_hole(&pool->leaves[leaf]);
}

/* The end of a hole from before in a leaf that is not blank. */
HOT size_t end_in_leaf(const struct ffalloc_pool *pool, size_t leaf)
{
    return first_granule_of(leaf) + lowest_bit(pool->leaves[leaf].used);
}

/* The end of the large hole that starts in `leaf`: the next one is blank. */
static inline size_t large_end(const struct ffalloc_pool *pool, size_t leaf)
{
    size_t run = leaf + !leaf_is_blank(&pool->leaves[leaf]);
    return end_in_leaf(pool, run + (pool->leaves[run].starts >> 1));
}

/* Its size in granules. */
static inline size_t large_count(const struct ffalloc_pool *pool, size_t leaf)
{
    return large_end(pool, leaf) - large_start(pool, leaf);
}

/* A size as the pages' words have it. */
static inline uint32_t large_word(size_t count)
{
    return count < INT32_MAX ? (uint32_t)count : INT32_MAX;
}

/* The lowest leaf from `leaf` on in which a hole of at least `count` (LARGE or more) granules
 * starts, or NOT_FOUND. */
size_t ffalloc_large_next(const struct ffalloc_pool *pool, size_t leaf, size_t count);

/* Sets the word of a page and what follows from it above. */
void ffalloc_large_set(struct ffalloc_pool *pool, size_t page, uint32_t word);

/* The largest word of a node of a level. */
uint32_t ffalloc_large_largest(const struct ffalloc_pool *pool, unsigned level, size_t node);

/* The leaf of a page in which its large hole starts, if it has one. */
size_t ffalloc_large_leaf(const struct ffalloc_pool *pool, size_t page);

static inline size_t large_page(size_t granule)
{
    return granule >> LARGE_LOG2;
}

#if HAS_HINTS

static inline bool large_is_loose(const struct ffalloc_pool *pool, size_t start, size_t end)
{
    (void)end;
    return pool->loose[CARVED] == leaf_of(start) || pool->loose[GROWN] == leaf_of(start);
}

/* Makes the large hole that starts at `start` loose; what was in its place goes into the tree. */
static inline void large_add(struct ffalloc_pool *pool, size_t start, enum loose place)
{
    size_t former = pool->loose[place];
    if (former != NO_LEAF)
        ffalloc_large_set(pool, page_of_leaf(former), large_word(large_count(pool, former)));
    pool->loose[place] = (uint32_t)leaf_of(start);
}

/* Takes out the large hole from `start` to `end`. Returns its place if it was loose, so that what
 * becomes of it can take that, else `otherwise`. */
static inline enum loose large_remove(struct ffalloc_pool *pool, size_t start, size_t end,
                                      enum loose otherwise)
{
    if (!large_is_loose(pool, start, end)) {
        ffalloc_large_set(pool, large_page(start), 0);
        return otherwise;
    }
    enum loose place = pool->loose[CARVED] == leaf_of(start) ? CARVED : GROWN;
    pool->loose[place] = NO_LEAF;
    return place;
}

/* The hole from `start` to `end` is to start at `rest`. */
HOT void large_cut(struct ffalloc_pool *pool, size_t start, size_t rest, size_t end)
{
    if (end - start < LARGE)
        return;
    enum loose place = large_remove(pool, start, end, CARVED);
    if (end - rest >= LARGE)
        large_add(pool, rest, place);
}

/* What lies between the holes from `left` to `from` and from `end` to `right`, which may be empty,
 * is to be free. */
HOT void large_merge(struct ffalloc_pool *pool, size_t left, size_t from, size_t end, size_t right)
{
    enum loose place = GROWN;
    if (right - end >= LARGE)
        place = large_remove(pool, end, right, place);
    if (from - left >= LARGE)
        place = large_remove(pool, left, from, place);
    if (right - left >= LARGE)
        large_add(pool, left, place);
}

#else

static inline bool large_is_loose(const struct ffalloc_pool *pool, size_t start, size_t end)
{
    (void)start;
    return end == pool->granule_count;
}

/* The same as large_cut and large_merge, where a page changes. */
void ffalloc_large_cut(struct ffalloc_pool *pool, size_t start, size_t rest, size_t end);
void ffalloc_large_merge(struct ffalloc_pool *pool, size_t left, size_t end, size_t right);

HOT void large_cut(struct ffalloc_pool *pool, size_t start, size_t rest, size_t end)
{
    if (end - start >= LARGE && !large_is_loose(pool, start, end))
        ffalloc_large_cut(pool, start, rest, end);
}

HOT void large_merge(struct ffalloc_pool *pool, size_t left, size_t from, size_t end, size_t right)
{
    if (large_is_loose(pool, left, right) ? from - left >= LARGE : right - left >= LARGE)
        ffalloc_large_merge(pool, left, end, right);
}

#endif

/* Whether a hole that starts at `start` and goes on in `leaf`, the first of a `run` of blank ones,
 * is loose, and stays large whatever happens in its first two leaves. */
HOT bool is_loose_and_long(const struct ffalloc_pool *pool, size_t start, size_t leaf, size_t run)
{
    return run > LARGE / WORD_BITS && large_is_loose(pool, start, end_in_leaf(pool, leaf + run));
}

#endif
#endif
