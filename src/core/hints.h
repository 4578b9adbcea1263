/* SPDX-License-Identifier: MIT */
/*
 * Hints: for small sizes, the leaf from which on to look (X3). A free lowers them, a search raises
 * them, and mostly the hint's leaf is the one.
 *
 * With 32-bit words there are none, nor what else is put off with them: stale nodes (index.h) and
 * two loose holes (large.h). Pools are small there, and leaves, too: the tree has few levels, and
 * half of the hints were wrong. On a Cortex-M4, when both were measured, the embedded traces took
 * 168 instructions a call without and 171 with them (bash's 142 and 125, lua's 169 and 185), the
 * worst call against the adversaries in a pool of 64 KiB 578 and 704, and the header is 36 bytes
 * smaller.
 */
#ifndef FFALLOC_CORE_HINTS_H
#define FFALLOC_CORE_HINTS_H

#include "index.h"

#if HAS_HINTS

/* The place in `hints` for requests of `count` granules, above 0. */
static inline size_t hint_of(size_t count)
{
    EXPECT(count > 0);
    if (count <= 8)
        return count - 1;
    return count < 16 ? 7 : 8;
}

#define LARGEST_HINT 16u /* granules */

/* The least request of a place. */
static inline size_t hint_least(size_t place)
{
    return place < 8 ? place + 1 : LARGEST_HINT;
}

/* No hole of `count` granules starts below `leaf`, found from the hint of `count` on. (What ends
 * the loop is the NO_LEAF after the hints; its bound tells gcc how many steps to write out.) */
HOT void hints_raise(struct ffalloc_pool *pool, size_t count, size_t leaf)
{
    if (count > LARGEST_HINT || (count > 8 && pool->hints[HINTS - 1] >= leaf))
        return;
    uint32_t *hint = &pool->hints[count <= 8 ? count - 1 : HINTS - 1];
    *hint = (uint32_t)leaf;
    for (unsigned i = 1; i < HINTS && hint[i] < leaf; i++)
        hint[i] = (uint32_t)leaf;
}

/* A hole of `count` granules, there or grown by a free, starts in `leaf`. The hints ascend: the
 * first that is low enough already ends it. */
HOT void hints_lower(struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    for (size_t place = hint_of(count); pool->hints[place] > leaf; place--) {
        pool->hints[place] = (uint32_t)leaf;
        if (place == 0)
            break;
    }
}

#else

static inline void hints_lower(struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    (void)pool;
    (void)leaf;
    (void)count;
}

#endif
#endif
