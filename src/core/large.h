/* SPDX-License-Identifier: MIT */
/*
 * Holes of LARGE granules and more, told apart by their exact size.
 *
 * At most one of them starts in any *page* of LARGE granules, in the one leaf whose byte is 255.
 * Each page has a word with the size of the one that starts in it (L1), and above the pages lies a
 * tree of maxima (L2), like that of the leaves' bytes: a quarter of a percent of the pool, and none
 * in a pool smaller than a page.
 *
 * Two large holes are *loose*, kept out of the tree: the one last carved and the one last grown.
 * Requests are carved from the front of one hole, often the rest of the pool, and a sweep of
 * frees grows one; at each step the tree would follow.
 *
 * Before, these holes formed a priority search tree (McCreight 1985) whose links lay in spare words
 * of the map. It took no memory, but a walk down one path for each hole that a free merges made the
 * worst call of a pool of 1 GiB 4166 instructions on x86-64, and of 64 KiB 1470 on Cortex-M4.
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

/* Its size in granules. */
static inline size_t large_count(const struct ffalloc_pool *pool, size_t leaf)
{
    size_t start = large_start(pool, leaf);
    return map_hole_end(pool, start) - start;
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

static inline bool large_is_loose(const struct ffalloc_pool *pool, size_t leaf)
{
    return pool->loose[CARVED] == leaf || pool->loose[GROWN] == leaf;
}

/* Makes the large hole that starts in `leaf`, in the map already, a loose one; what was loose in
 * its place goes into the tree. */
static inline void large_add(struct ffalloc_pool *pool, size_t leaf, enum loose place)
{
    size_t former = pool->loose[place];
    if (former != NO_LEAF)
        ffalloc_large_set(pool, page_of_leaf(former), large_word(large_count(pool, former)));
    pool->loose[place] = (uint32_t)leaf;
}

/* Removes the large hole that starts in `leaf`, still in the map. Returns its place if it was
 * loose, so that what becomes of it can take that, else `otherwise`. */
static inline enum loose large_remove(struct ffalloc_pool *pool, size_t leaf, enum loose otherwise)
{
    if (!large_is_loose(pool, leaf)) {
        ffalloc_large_set(pool, page_of_leaf(leaf), 0);
        return otherwise;
    }
    enum loose place = pool->loose[CARVED] == leaf ? CARVED : GROWN;
    pool->loose[place] = NO_LEAF;
    return place;
}

#endif
#endif
