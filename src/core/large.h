/* SPDX-License-Identifier: MIT */
/*
 * Holes of LARGE granules and more, told apart by their exact size.
 *
 * One of them, the *current* one, is kept out of the tree: the one that requests are carved
 * from, usually the rest of the pool. Its start moves with each request, its place in a tree
 * would too.
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

/* Adds the large hole that starts in `leaf`, as the current one if there is none. The map must
 * already describe it. */
void ffalloc_large_add(struct ffalloc_pool *pool, size_t leaf);

/* Removes the large hole that starts in `leaf`; the map must still describe it. */
void ffalloc_large_remove(struct ffalloc_pool *pool, size_t leaf);

/* Keeps the hole in `leaf` out of the tree and puts what was current there: it is about to be
 * carved. The map must describe both. */
void ffalloc_large_make_current(struct ffalloc_pool *pool, size_t leaf);

#endif
