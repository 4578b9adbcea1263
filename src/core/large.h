/* SPDX-License-Identifier: MIT */
/*
 * Holes of LARGE granules and more, told apart by their exact size.
 *
 * Two of them are *loose*, kept out of the tree: the one last carved and the one last grown.
 * Requests are carved from the front of one hole, often the rest of the pool, and a sweep of
 * frees grows one; at each step such a hole's place in a tree would change.
 *
 * The others form a priority search tree (McCreight 1985) on the bits of their leaf numbers: at
 * depth d, bit d from the top leads to the left or the right child (L2), and a parent is at
 * least as large as its children (L3). At most one large hole starts in a leaf, so leaf numbers
 * name holes. The depth is at most the number of bits, whatever an adversary does, and every
 * operation is one walk down: no parent links, no stack, no rotations.
 *
 * A node's two links lie in the `holes` words of the hole's own run of empty leaves (pool.h).
 */
#ifndef FFALLOC_CORE_LARGE_H
#define FFALLOC_CORE_LARGE_H

#include "map.h"

/* The children of a hole in the tree: leaf numbers, or NO_LEAF. */
struct links {
    uint32_t child[2];
};
struct links ffalloc_large_links(const struct ffalloc_pool *pool, uint32_t leaf);

/* The start of the large hole that starts in `leaf`: always the leaf's last. */
static inline size_t large_start(const struct ffalloc_pool *pool, uint32_t leaf)
{
    return first_granule_of(leaf) + highest_bit(pool->leaves[leaf].holes);
}

/* Its size in granules. */
static inline size_t large_count(const struct ffalloc_pool *pool, uint32_t leaf)
{
    size_t start = large_start(pool, leaf);
    return map_next(pool, start) - start;
}

/* The lowest leaf from `leaf` on in which a hole of at least `count` (LARGE or more) granules
 * starts, or NOT_FOUND. */
size_t ffalloc_large_next(const struct ffalloc_pool *pool, size_t leaf, size_t count);

/* The start of the lowest hole of at least `count` (LARGE or more) granules, or NOT_FOUND. */
static inline size_t large_lowest(const struct ffalloc_pool *pool, size_t count)
{
    size_t leaf = ffalloc_large_next(pool, 0, count);
    return leaf == NOT_FOUND ? NOT_FOUND : large_start(pool, (uint32_t)leaf);
}

void ffalloc_large_insert(struct ffalloc_pool *pool, uint32_t leaf);
void ffalloc_large_delete(struct ffalloc_pool *pool, uint32_t leaf);

static inline bool large_is_loose(const struct ffalloc_pool *pool, size_t leaf)
{
    return pool->loose[CARVED] == leaf || pool->loose[GROWN] == leaf;
}

/* Makes the large hole that starts in `leaf`, in the map already, a loose one; what was loose in
 * its place goes into the tree. */
static inline void large_add(struct ffalloc_pool *pool, size_t leaf, enum loose place)
{
    if (pool->loose[place] != NO_LEAF)
        ffalloc_large_insert(pool, pool->loose[place]);
    pool->loose[place] = (uint32_t)leaf;
}

/* Removes the large hole that starts in `leaf`, still in the map. Returns its place if it was
 * loose, so that what becomes of it can take that, else `otherwise`. */
static inline enum loose large_remove(struct ffalloc_pool *pool, size_t leaf, enum loose otherwise)
{
    if (!large_is_loose(pool, leaf)) {
        ffalloc_large_delete(pool, (uint32_t)leaf);
        return otherwise;
    }
    enum loose place = pool->loose[CARVED] == leaf ? CARVED : GROWN;
    pool->loose[place] = NO_LEAF;
    return place;
}

#endif
