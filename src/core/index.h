/* SPDX-License-Identifier: MIT */
/*
 * The index: the leaf in which the lowest hole of a size starts.
 *
 * Sizes up to 255 granules are answered by a tree of bytes. levels[0] has the size of the
 * largest hole that starts in each leaf (X1), each higher level the largest of FANOUT below it
 * (X2). The first leaf from some leaf on with a large enough hole is found by going up until a
 * node to the right has one, then down to the leftmost such child. For the smallest sizes a
 * hint (X3) says from which leaf on to look, and mostly that leaf is the one. The bytes
 * are exact, never bounds: an adversary could otherwise prepare any number of leaves whose bound
 * says yes and whose holes say no.
 *
 * With one relief: a leaf's largest hole is often taken and soon freed again, and the levels above
 * need not follow each time. A few nodes of levels[1], the *stale* ones, may be too high (X2). A
 * search that one of them misleads looks at its 16 leaves in vain and goes on, a fixed number of
 * times. (Letting the leaves' own bytes be too high was tried and dropped: they are found out at
 * the very next request.)
 *
 * Larger holes show as 255 in the tree and are told apart by large.c.
 */
#ifndef FFALLOC_CORE_INDEX_H
#define FFALLOC_CORE_INDEX_H

#include "large.h"
#include "map.h"

/* The first leaf from `leaf` on in which a hole of `least` (1 to 255) granules starts. */
size_t ffalloc_index_next(const struct ffalloc_pool *pool, size_t leaf, unsigned least);

/* Recounts a leaf's byte from the map and passes a change on to the levels above. */
void ffalloc_index_recount(struct ffalloc_pool *pool, size_t leaf);

/* Sets a leaf's byte to `now` and passes a change on to the levels above. */
void ffalloc_index_set(struct ffalloc_pool *pool, size_t leaf, unsigned now);

/* Passes on that a leaf's byte was raised to `largest`. */
void ffalloc_index_raise(struct ffalloc_pool *pool, size_t leaf, unsigned largest);

/* The largest hole that starts in a leaf, from the map, saturated. */
unsigned ffalloc_index_count(const struct ffalloc_pool *pool, size_t leaf);

static inline unsigned saturated(size_t count)
{
    return count < SATURATED ? (unsigned)count : SATURATED;
}

/* The leaf in which the lowest hole of `count` (1 to 255) granules starts, or NOT_FOUND: the
 * first one from the hint on. Moves the hint. */
size_t ffalloc_index_find_on(struct ffalloc_pool *pool, size_t count);

/* The place in `hints` for requests of `count` granules. */
static inline size_t hint_of(size_t count)
{
    return count < HINTS ? count - 1 : HINTS - 1;
}

/* A hole of `count` granules, there or grown by a free, starts in `leaf`. The hints ascend: the
 * first that is low enough already ends it. */
static inline void index_lower_hints(struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    size_t hint = count < HINTS ? count : HINTS;
    while (hint > 0 && pool->hints[hint - 1] > leaf)
        pool->hints[--hint] = (uint32_t)leaf;
}

/* Raises a leaf's byte to `largest` if it is less; returns whether the levels above must follow. */
static inline bool index_raise_leaf(struct ffalloc_pool *pool, size_t leaf, unsigned largest)
{
    if (largest <= pool->levels[0][leaf])
        return false;
    pool->levels[0][leaf] = (uint8_t)largest;
    return pool->level_count > 1 && pool->levels[1][leaf >> FANOUT_LOG2] < largest;
}

/* A hole of `count` granules starts in `leaf`, in the map already. */
static inline void index_gained(struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    if (index_raise_leaf(pool, leaf, saturated(count)))
        ffalloc_index_raise(pool, leaf, saturated(count));
}

/* A hole of `count` granules that started in `leaf` does so no more, or is smaller now. */
static inline void index_lost(struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    if (saturated(count) == pool->levels[0][leaf])
        ffalloc_index_recount(pool, leaf);
}

#endif
