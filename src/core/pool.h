/* SPDX-License-Identifier: MIT */
/*
 * What a pool looks like inside.
 *
 *   memory
 *   | struct ffalloc_pool, with a pointer to each level of the tree
 *   | leaves: the map, two bits per granule
 *   | levels[0], levels[1], ...: the tree of largest holes, one byte per leaf and node
 *   | further levels: the sizes of large holes, one word per page and node
 *   | blocks: granule 0, 1, 2, ... and nothing of ours between them
 *
 * A *leaf* is one machine word of granules: in `used` a bit for each granule of a block, in
 * `starts` a bit for the first granule of each block. The two words lie side by side, so that a
 * call usually touches one cache line of the map. The granule after the last one is the
 * *sentinel*, the start of a block of no size.
 *
 * So to free is to clear bits, and to merge costs nothing: a hole is where the bits are clear.
 *
 * A leaf that lies inside one block or one hole from end to end says so in a word of its own: it
 * is *blank*, `used` is 0, and `starts` is ours to use. The first and the last leaf of a run of
 * them hold the run's length there, and whether it is a block's or a hole's: the ends of blocks
 * and holes are found in O(1) across any distance, and no call writes every leaf of a large one.
 *
 * Map
 *   M1  The sentinel is a start, and it and the bits beyond it are used.
 *   M2  In a leaf that is not blank a start is used, and a used granule that is no start follows
 *       one of its block. (Two holes never adjoin: nothing could tell them apart.)
 *   M3  A run of blank leaves inside one block or hole holds twice its length, and 1 more if it is
 *       a block's, in its first and last `starts` word. No leaf lies in a hole otherwise.
 * Index
 *   X1  levels[0][leaf] is at least the size in granules of the largest hole that starts in the
 *       leaf, and at most what follows from the leaf's bits, which do not tell whether free
 *       granules at its beginning are the end of a hole from before: these may count for a hole,
 *       but in a blank leaf. 255 stands for 255 and more. (The lowest leaf with a byte of n has
 *       a hole of n: that other hole would have been found before.)
 *   X2  levels[i + 1][node] is the largest of its FANOUT children; what pads a level is 0. The
 *       levels in use are one or two at first, and more when a leaf beyond them has a byte: all
 *       bytes beyond are 0. A level of one byte is `lone`, and levels[1] is always there. With
 *       hints, a stale node of levels[1] may be higher than its children.
 *   X3  With hints, no hole of hint_least(i) granules or more starts in a leaf below hints[i], and
 *       the hints ascend, to a last that is NO_LEAF. (In a pool of one leaf those before are 0, and
 *       pad the node that begins with `lone`.)
 * Large holes
 *   L1  The word of a page is large_word (large.h) of the hole of LARGE granules or more that
 *       ends in the page after it, and 0 if there is none, or it is loose, or ends with the pool.
 *       A large hole starts in a loose leaf.
 *   L2  On the levels in use above the pages, a word is the largest of its PAGE_FANOUT children;
 *       what pads a level is 0.
 * With FFALLOC_SMALL the tree has half a word per leaf and node, and there are no pages and no
 * hints: X1  levels[0][leaf] is the size in granules of the largest hole that starts in the leaf.
 *   X2  levels[i + 1][node] is the largest of its FANOUT children; what pads a level is 0.
 * Counts
 *   C1  most_used_granules - spare_granules is the sum of the blocks, and most_used_granules is at
 *       least that.
 *   C2  high_water_granules is not below the end of the highest block.
 *   C3  alloc_count is at least the number of blocks.
 *   C4  quick_size is at most largest_request_size, and most_quick_size.
 * Growth
 *   G1  A pool that grows has whole units of granules (grow.h), and at most most_granules.
 */
#ifndef FFALLOC_CORE_POOL_H
#define FFALLOC_CORE_POOL_H

#include <stdint.h>

#include "ffalloc/ffalloc.h"
#include "node.h"

#define NOT_FOUND SIZE_MAX   /* no granule */
#define NO_LEAF   UINT32_MAX /* no leaf */

/*
 * A size in granules as the tree of largest holes has it, which counts no further than SATURATED.
 * In a small core that is half a word, and no pool has as many granules.
 */
#if !FFALLOC_SMALL
typedef uint8_t hole_size;
#define SATURATED 255u
#elif WORD_LOG2 == 6
typedef uint32_t hole_size;
#define SATURATED UINT32_MAX
#else
typedef uint16_t hole_size;
#define SATURATED 65535u
#endif

/* Granules. Two holes this large cannot end within as many granules: those are a *page*. */
#define LARGE_LOG2       8u
#define LARGE            (1u << LARGE_LOG2)
#define PAGE_FANOUT_LOG2 3u
#define PAGE_FANOUT      ((size_t)1 << PAGE_FANOUT_LOG2)

/* Whether there are hints, and nodes of the tree that may be too high for a while (hints.h). */
#define HAS_HINTS (WORD_LOG2 == 6 && !FFALLOC_SMALL)

/* Sizes of 1 to 8 granules have a hint of their own, the last one is for 16 and more. With these
 * and the stale nodes, the header leaves a pool of 1024 bytes 51 granules of 16. */
#define HINTS       9u
#define STALE_NODES 4u /* a power of two */

/* The short way of malloc: what has a hint of its own, or fits in a leaf. */
#define QUICK_GRANULES (HAS_HINTS ? 8u : (unsigned)WORD_BITS - 1)

/* What a run of blank leaves lies in (M3). */
#define RUN_OF_HOLE  ((size_t)0)
#define RUN_OF_BLOCK ((size_t)1)

/* Why a large hole is loose (large.h). */
enum loose { CARVED, GROWN };

struct leaf {
    size_t used;   /* bit i: granule i of the leaf is a block's; 0: the leaf is blank */
    size_t starts; /* bit i: a block starts there; a blank leaf: see above */
};

static inline struct leaf leaf_with(size_t used, size_t starts)
{
    struct leaf leaf = {used, starts}; /* C++ has no compound literals */
    return leaf;
}

/* As C++ the core has one thing that is C's alone, which gcc lets pass and clang is told to. */
#if defined(__clang__) && defined(__cplusplus)
#pragma clang diagnostic ignored "-Wc99-extensions"
#endif

struct ffalloc_pool {
    struct leaf *leaves;
    unsigned char *blocks; /* address of granule 0 */
    size_t granule_count;
    uint8_t granule_log2;     /* bytes */
    uint8_t level_count;      /* of the tree, in use: the top level has at most FANOUT nodes */
    uint8_t is_zeroed : 1;    /* granules from high_water_granules on read as zero */
    uint8_t is_growing : 1;   /* grow.h */
    uint8_t page_level_count; /* in use: more when a higher page is; 0 if there are none */
    uint32_t failed_count;
    size_t granted_granules; /* ever, by all requests together */
    size_t most_used_granules;
    size_t spare_granules; /* what is used now, and this, is most_used_granules */
    size_t high_water_granules;
    size_t alloc_count;
    size_t largest_request_size;
    size_t requested_size; /* ever, of all successful requests together */
    ffalloc_on_error *on_error;
    ffalloc_on_out_of_memory *on_out_of_memory;
#if !FFALLOC_SMALL
#if HAS_HINTS
    uint32_t loose[2];            /* leaves of large holes kept out of the tree, or NO_LEAF */
    NODE_ALIGNED uint8_t lone[4]; /* a level of one byte; then 0 */
    uint32_t hints[HINTS + 1];    /* then NO_LEAF */
    uint32_t stale[STALE_NODES];  /* nodes of levels[1], or NO_LEAF (X2) */
#endif
    uint16_t quick_size;   /* bytes; larger requests, and of 0, take not malloc's short way */
    uint8_t tree_pointers; /* in levels[]; then come the pages' */
#if !HAS_HINTS && WORD_LOG2 == 5
    uint8_t lone[1]; /* a level of one byte */
#elif !HAS_HINTS
    NODE_ALIGNED uint8_t lone[FANOUT];
#endif
#endif
    EXTENSION hole_size *levels[];
};

/* Granules for a request of `size` bytes: at least one, and no size wraps. */
static inline size_t granules_for(const struct ffalloc_pool *pool, size_t size)
{
    size += size == 0;
    return ((size - 1) >> pool->granule_log2) + 1;
}

static inline size_t bytes_of(const struct ffalloc_pool *pool, size_t granules)
{
    return granules << pool->granule_log2;
}

#if !FFALLOC_SMALL

/* The most that quick_size can be. */
static inline uint16_t most_quick_size(const struct ffalloc_pool *pool)
{
    size_t size = bytes_of(pool, QUICK_GRANULES);
    return size < UINT16_MAX ? (uint16_t)size : UINT16_MAX;
}

#endif

static inline void *address_of(const struct ffalloc_pool *pool, size_t granule)
{
    return pool->blocks + bytes_of(pool, granule);
}

static inline size_t used_granules(const struct ffalloc_pool *pool)
{
    return pool->most_used_granules - pool->spare_granules;
}

/* The number of leaves, the sentinel's included. */
static inline size_t leaf_count_of(size_t granules)
{
    return (granules >> WORD_LOG2) + 1;
}

static inline size_t page_count_of(size_t granules)
{
    return granules >> LARGE_LOG2;
}

/* Entries of a level that has `count` of them, padded to whole nodes. */
static inline size_t padded_count(size_t count)
{
    return (count + FANOUT - 1) & ~(size_t)(FANOUT - 1);
}

#endif
