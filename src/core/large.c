/* SPDX-License-Identifier: MIT */
#include "index.h"

#if !FFALLOC_SMALL

static inline uint32_t larger(uint32_t word, uint32_t more)
{
    return word > more ? word : more;
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
    return (unsigned)__builtin_ctz(found >> from << from | 1u << PAGE_FANOUT);
}

HOT __m128i words_max(__m128i words, __m128i more)
{
    __m128i is_less = _mm_cmpgt_epi32(more, words);
    return _mm_or_si128(_mm_and_si128(is_less, more), _mm_andnot_si128(is_less, words));
}

/* The largest of a node's words but one. */
HOT uint32_t words_max_but(const uint32_t *node, unsigned child)
{
    __m128i but = _mm_set1_epi32((int)child);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)node);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(node + 4));
    low = _mm_andnot_si128(_mm_cmpeq_epi32(but, _mm_set_epi32(3, 2, 1, 0)), low);
    high = _mm_andnot_si128(_mm_cmpeq_epi32(but, _mm_set_epi32(7, 6, 5, 4)), high);
    __m128i largest = words_max(low, high);
    largest = words_max(largest, _mm_srli_si128(largest, 8));
    largest = words_max(largest, _mm_srli_si128(largest, 4));
    return (uint32_t)_mm_cvtsi128_si32(largest);
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
    return from <= 3 && node[3] >= least ? 3 : PAGE_FANOUT;
}

/* By an exclusive or of their numbers, the other three are found without asking which it is. */
HOT uint32_t words_max_but(const uint32_t *node, unsigned child)
{
    return larger(larger(node[child ^ 1], node[child ^ 2]), node[child ^ 3]);
}

#endif

uint32_t ffalloc_large_largest(const struct ffalloc_pool *pool, unsigned level, size_t node)
{
    const uint32_t *words = page_level(pool, level) + (node << PAGE_FANOUT_LOG2);
    return larger(words[0], words_max_but(words, 0));
}

void ffalloc_large_set(struct ffalloc_pool *pool, size_t page, uint32_t word)
{
    while (page >> pool->page_level_count * PAGE_FANOUT_LOG2) {
        page_level(pool, pool->page_level_count)[0] =
            ffalloc_large_largest(pool, pool->page_level_count - 1u, 0);
        pool->page_level_count++;
    }
    uint32_t *words;
    for (unsigned level = 0;; level++) {
        words = page_level(pool, level);
        uint32_t before = words[page];
        if (level + 1u == pool->page_level_count)
            break;
        /* A smaller child changes its parent only if the parent's word was this child's. */
        uint32_t above = page_level(pool, level + 1)[page >> PAGE_FANOUT_LOG2];
        if (word >= before ? word <= above : before < above)
            break;
        unsigned child = page & (PAGE_FANOUT - 1);
        uint32_t others = word < before ? words_max_but(words + (page - child), child) : 0;
        words[page] = word;
        word = others > word ? others : word;
        page >>= PAGE_FANOUT_LOG2;
    }
    words[page] = word;
}

/* The first page from `page` on whose word is at least `least`, or NOT_FOUND; or, if there is none
 * up to page `limit`, any number above that. */
HOT size_t next_page(const struct ffalloc_pool *pool, size_t page, uint32_t least, size_t limit)
{
    unsigned top = pool->page_level_count - 1u;
    size_t idx = page; /* the first of its level not looked at */
    unsigned level = page ? 0 : top;
    for (;;) {
        for (; !(idx & (PAGE_FANOUT - 1)) && level < top; level++)
            idx >>= PAGE_FANOUT_LOG2;
        if (idx >> (top + 1 - level) * PAGE_FANOUT_LOG2)
            return NOT_FOUND;
        unsigned child = idx & (PAGE_FANOUT - 1);
        idx -= child;
        child = words_first(page_level(pool, level) + idx, child, least);
        idx += child;
        if (child < PAGE_FANOUT)
            break;
    }
    while (level-- > 0) {
        idx <<= PAGE_FANOUT_LOG2;
        if (idx > limit >> level * PAGE_FANOUT_LOG2)
            return NOT_FOUND;
        idx += words_first(page_level(pool, level) + idx, 0, least);
    }
    return idx;
}

size_t ffalloc_large_leaf(const struct ffalloc_pool *pool, size_t page)
{
    size_t leaf;
    index_in_node(pool, page << (LARGE_LOG2 - WORD_LOG2), SATURATED, &leaf);
    return leaf;
}

/* As ffalloc_large_next, of the holes in the tree that start in a leaf below `limit`. */
HOT size_t next_in_tree(const struct ffalloc_pool *pool, size_t from, size_t count, size_t limit)
{
    size_t page = page_of_leaf(from);
    size_t last = page_of_leaf(limit);
    while ((page = next_page(pool, page, large_word(count), last)) <= last) {
        size_t leaf = ffalloc_large_leaf(pool, page);
        /* A word counts no further than 2^31, which few holes of any pool exceed. */
        if (leaf >= from && (count < INT32_MAX || large_count(pool, leaf) >= count))
            return leaf;
        page++;
    }
    return NOT_FOUND;
}

#if HAS_HINTS

size_t ffalloc_large_next(const struct ffalloc_pool *pool, size_t from, size_t count)
{
    if (pool->page_level_count == 0)
        return NOT_FOUND;
    /* The lower loose one first: where that will do the other need not be measured. */
    unsigned lower = pool->loose[CARVED] < pool->loose[GROWN] ? CARVED : GROWN;
    size_t loose = NOT_FOUND;
    for (unsigned i = 0; i < 2 && loose == NOT_FOUND; i++) {
        size_t leaf = pool->loose[lower ^ i];
        if (leaf != NO_LEAF && leaf >= from && large_count(pool, leaf) >= count)
            loose = leaf;
    }
    size_t leaf = next_in_tree(pool, from, count, loose);
    return leaf < loose ? leaf : loose;
}

#else

size_t ffalloc_large_next(const struct ffalloc_pool *pool, size_t from, size_t count)
{
    if (pool->page_level_count == 0)
        return NOT_FOUND;
    size_t leaf = next_in_tree(pool, from, count, NOT_FOUND);
    if (leaf != NOT_FOUND)
        return leaf;
    size_t start = map_hole_start(pool, pool->granule_count);
    bool is_enough = pool->granule_count - start >= count && leaf_of(start) >= from;
    return is_enough ? leaf_of(start) : NOT_FOUND;
}

void ffalloc_large_cut(struct ffalloc_pool *pool, size_t start, size_t rest, size_t end)
{
    bool is_large = end - rest >= LARGE;
    if (!is_large || large_page(rest) != large_page(start))
        ffalloc_large_set(pool, large_page(start), 0);
    if (is_large)
        ffalloc_large_set(pool, large_page(rest), large_word(end - rest));
}

void ffalloc_large_merge(struct ffalloc_pool *pool, size_t left, size_t end, size_t right)
{
    bool is_loose = large_is_loose(pool, left, right);
    if (right - end >= LARGE && !is_loose && large_page(end) != large_page(left))
        ffalloc_large_set(pool, large_page(end), 0);
    ffalloc_large_set(pool, large_page(left), is_loose ? 0 : large_word(right - left));
}

#endif
#endif
