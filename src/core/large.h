/* SPDX-License-Identifier: MIT */
/*
 * Holes of LARGE granules and more, told apart by their exact size.
 *
 * At most one of them ends in any *page* of LARGE granules. So each page has a word for the one
 * that ends in the page after it (L1), and above the pages lies a tree of maxima (L2), like that of
 * the leaves' bytes: a quarter of a percent of the pool, and none in a pool smaller than a page.
 * Holes are found by their end since requests are carved from their front: one word changes, and
 * tells where what is left starts. With words of the holes that start in a page two changed, and
 * the worst call of a pool of 64 KiB on a Cortex-M4 took a quarter more.
 *
 * The hole that ends with the pool is in no word: it is the highest, and its size is known anyhow.
 * With hints (hints.h) two more are *loose*, kept out of the tree, since at each step it would have
 * to follow: the one last carved and the one last grown. Requests are carved from the front of one
 * hole, and a sweep of frees grows one. Without, where it is the worst call that counts, to put
 * back into the tree what was loose before would cost that call more than it saves.
 *
 * Before, these holes formed a priority search tree (McCreight 1985) whose links lay in spare words
 * of the map. It took no memory, but a walk down one path for each hole that a free merges made the
 * worst call of a pool of 1 GiB 4166 instructions on x86-64, and of 64 KiB 1470 on Cortex-M4.
 *
 * Tried and dropped: with 64-bit words, too, no hole loose but the one that ends with the pool
 * (lua's trace took three quarters more instructions, the others up to 8 %); two pages whose words
 * count from the page's first granule, so that the holes there may lose and gain at their fronts.
 * As they pass from page to page the tree follows (lua's trace took a fifth more instructions,
 * g++'s a twelfth).
 */
#ifndef FFALLOC_CORE_LARGE_H
#define FFALLOC_CORE_LARGE_H

#include "map.h"

#if !FFALLOC_SMALL

static inline size_t large_page(size_t granule)
{
    return granule >> LARGE_LOG2;
}

/* The page whose word is of the large hole that ends at `end`. */
static inline size_t large_page_of_end(size_t end)
{
    return large_page(end - LARGE);
}

/* The words of a level of pages. */
static inline uint32_t *page_level(const struct ffalloc_pool *pool, unsigned level)
{
    return (uint32_t *)(void *)pool->levels[pool->tree_pointers + level];
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
    return end_in_leaf(pool, leaf_beyond(pool, run, pool->leaves[run].starts));
}

/* A page's word: the size of its hole in granules, and below in which leaf of the page after it the
 * hole ends. Sizes count no further than MOST_LARGE, which with 32-bit words none exceeds. */
#define PAGE_LEAVES_LOG2 (LARGE_LOG2 - WORD_LOG2)
#define PAGE_LEAVES      (1u << PAGE_LEAVES_LOG2)
#define MOST_LARGE       ((size_t)(WORD_LOG2 == 6 ? INT32_MAX : UINT32_MAX) >> PAGE_LEAVES_LOG2)

/* The least word of a hole of `count` granules. */
HOT uint32_t large_least(size_t count)
{
    if (WORD_LOG2 == 6 && count > MOST_LARGE)
        count = MOST_LARGE;
    return (uint32_t)count << PAGE_LEAVES_LOG2;
}

/* 0 stands for one that is not large. */
HOT uint32_t large_word(size_t start, size_t end)
{
    return end - start < LARGE ? 0 : large_least(end - start) | (leaf_of(end) & (PAGE_LEAVES - 1));
}

/* The start of the lowest hole of at least `count` (LARGE or more) granules that starts in `leaf`
 * or after it, or NOT_FOUND. Sets `end` to where it ends. */
size_t ffalloc_large_next(const struct ffalloc_pool *pool, size_t leaf, size_t count, size_t *end);

/* Sets the word of a page and what follows from it above. */
void ffalloc_large_set(struct ffalloc_pool *pool, size_t page, uint32_t word);

/* The largest word of a node of a level. */
uint32_t ffalloc_large_largest(const struct ffalloc_pool *pool, unsigned level, size_t node);

/* The hole that ends at `end`, which was large or is to be, is to start at `start`. */
HOT void large_put(struct ffalloc_pool *pool, size_t start, size_t end)
{
    if (end < pool->granule_count)
        ffalloc_large_set(pool, large_page_of_end(end), large_word(start, end));
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
        large_put(pool, large_start(pool, former), large_end(pool, former));
    pool->loose[place] = (uint32_t)leaf_of(start);
}

/* The place of the loose hole that starts in `leaf`. */
HOT enum loose large_place(const struct ffalloc_pool *pool, size_t leaf)
{
    return pool->loose[CARVED] == leaf ? CARVED : GROWN;
}

/* Takes out the large hole from `start` to `end`. Returns its place if it was loose, so that what
 * becomes of it can take that, else `otherwise`. */
static inline enum loose large_remove(struct ffalloc_pool *pool, size_t start, size_t end,
                                      enum loose otherwise)
{
    if (!large_is_loose(pool, start, end)) {
        large_put(pool, end, end);
        return otherwise;
    }
    enum loose place = large_place(pool, leaf_of(start));
    pool->loose[place] = NO_LEAF;
    return place;
}

/* The loose hole that starts in `leaf` is to start in `rest`. */
HOT void large_move(struct ffalloc_pool *pool, size_t leaf, size_t rest)
{
    pool->loose[large_place(pool, leaf)] = (uint32_t)rest;
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

HOT void large_cut(struct ffalloc_pool *pool, size_t start, size_t rest, size_t end)
{
    if (end - start >= LARGE)
        large_put(pool, rest, end);
}

HOT void large_merge(struct ffalloc_pool *pool, size_t left, size_t from, size_t end, size_t right)
{
    (void)end;
    if (right - left < LARGE)
        return;
    if (from - left >= LARGE)
        large_put(pool, from, from);
    large_put(pool, left, right);
}

#endif

/* Whether a hole that starts at `start` and goes on in `leaf`, the first of a `run` of blank ones,
 * is loose, and stays large whatever happens in its first two leaves. */
HOT bool is_loose_and_long(const struct ffalloc_pool *pool, size_t start, size_t leaf, size_t run)
{
    return run > LARGE / WORD_BITS && large_is_loose(pool, start, end_in_leaf(pool, leaf + run));
}

#if HAS_SSE2

/* The first of a node's words, from word `from` on, that is at least `least`; PAGE_FANOUT if none
 * is. */
HOT unsigned words_first(const uint32_t *node, unsigned from, uint32_t least)
{
    __m128i bound = _mm_set1_epi32((int)(least - 1));
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)node);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(node + 4));
    __m128i at_least = _mm_packs_epi32(_mm_cmpgt_epi32(low, bound), _mm_cmpgt_epi32(high, bound));
    unsigned found = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(at_least, _mm_setzero_si128()));
    return (unsigned)lowest_bit(found >> from << from | 1u << PAGE_FANOUT);
}

#else

HOT unsigned words_first(const uint32_t *node, unsigned from, uint32_t least)
{
    if (from <= 0 && node[0] >= least)
        return 0;
    if (from <= 1 && node[1] >= least)
        return 1;
    if (from <= 2 && node[2] >= least)
        return 2;
    if (from <= 3 && node[3] >= least)
        return 3;
    if (from <= 4 && node[4] >= least)
        return 4;
    if (from <= 5 && node[5] >= least)
        return 5;
    if (from <= 6 && node[6] >= least)
        return 6;
    return from <= 7 && node[7] >= least ? 7 : PAGE_FANOUT;
}

#endif

/* The first of the top level's words that is at least `least`; PAGE_FANOUT if none is. */
HOT unsigned top_first(const struct ffalloc_pool *pool, uint32_t least)
{
    return words_first(page_level(pool, pool->page_level_count - 1u), 0, least);
}

/* The start of the lower loose hole of at least `count` granules, from leaf `from` on, or
 * NOT_FOUND. Sets `end` to where it ends. */
HOT size_t next_loose(const struct ffalloc_pool *pool, size_t from, size_t count, size_t *end)
{
#if HAS_HINTS
    /* The lower one first: where that will do the other need not be measured. */
    unsigned lower = pool->loose[CARVED] < pool->loose[GROWN] ? CARVED : GROWN;
    for (unsigned i = 0; i < 2; i++) {
        size_t leaf = pool->loose[lower ^ i];
        if (leaf == NO_LEAF || leaf < from)
            continue;
        size_t start = large_start(pool, leaf);
        *end = large_end(pool, leaf);
        if (*end - start >= count)
            return start;
    }
#endif
    (void)pool;
    (void)from;
    (void)count;
    (void)end;
    return NOT_FOUND;
}

#endif
#endif
