/* SPDX-License-Identifier: MIT */
#include "large.h"

#if !FFALLOC_SMALL

static inline uint32_t larger(uint32_t word, uint32_t more)
{
    return word > more ? word : more;
}

/* The largest of a node's words. */
HOT uint32_t words_max(const uint32_t *node)
{
    uint32_t low = larger(larger(node[0], node[1]), larger(node[2], node[3]));
    uint32_t high = larger(larger(node[4], node[5]), larger(node[6], node[7]));
    return larger(low, high);
}

uint32_t ffalloc_large_largest(const struct ffalloc_pool *pool, unsigned level, size_t node)
{
    return words_max(page_level(pool, level) + (node << PAGE_FANOUT_LOG2));
}

void ffalloc_large_set(struct ffalloc_pool *pool, size_t page, uint32_t word)
{
    if (page >= page_count_of(pool->granule_count))
        return; /* no hole ends there but in a damaged map */
    while (page >> pool->page_level_count * PAGE_FANOUT_LOG2) {
        page_level(pool, pool->page_level_count)[0] =
            ffalloc_large_largest(pool, pool->page_level_count - 1u, 0);
        pool->page_level_count++;
    }
    for (unsigned level = 0;; level++) {
        uint32_t *words = page_level(pool, level);
        uint32_t before = words[page];
        words[page] = word;
        if (level + 1u == pool->page_level_count)
            return;
        /* A smaller child changes its parent only if the parent's word was this child's. */
        uint32_t above = page_level(pool, level + 1)[page >> PAGE_FANOUT_LOG2];
        if (word >= before ? word <= above : before < above)
            return;
        page >>= PAGE_FANOUT_LOG2;
        if (word < before)
            word = words_max(words + (page << PAGE_FANOUT_LOG2));
    }
}

/* The first page at or below one of that or a higher level, whose word is at least `least`; or, if
 * there is none up to page `limit`, any number above that. */
HOT size_t first_below(const struct ffalloc_pool *pool, unsigned level, size_t idx, uint32_t least,
                       size_t limit)
{
    while (level-- > 0) {
        idx <<= PAGE_FANOUT_LOG2;
        if (HAS_HINTS && idx > limit >> level * PAGE_FANOUT_LOG2)
            return NOT_FOUND;
        idx += words_first(page_level(pool, level) + idx, 0, least);
    }
    return idx;
}

/* The first of all pages. NOT_FOUND if no word is at least `least`. */
HOT size_t first_page(const struct ffalloc_pool *pool, uint32_t least, size_t limit)
{
    unsigned top = pool->page_level_count - 1u;
    unsigned child = top_first(pool, least);
    return child < PAGE_FANOUT ? first_below(pool, top, child, least, limit) : NOT_FOUND;
}

/* The first one from `page`, above 0, on. Where a node's first word is next, that node may be
 * behind all that the level has: its parent is asked, and the one that is looked at holds a page
 * before. */
static NOINLINE size_t next_page(const struct ffalloc_pool *pool, size_t page, uint32_t least,
                                 size_t limit)
{
    size_t idx = page; /* the first of its level not looked at */
    for (unsigned level = 0; level < pool->page_level_count; level++) {
        unsigned child = idx & (PAGE_FANOUT - 1);
        idx -= child;
        if (child) {
            child = words_first(page_level(pool, level) + idx, child, least);
            if (child < PAGE_FANOUT)
                return first_below(pool, level, idx + child, least, limit);
            idx += PAGE_FANOUT;
        }
        idx >>= PAGE_FANOUT_LOG2;
    }
    return NOT_FOUND;
}

/* The start of the lowest hole in the tree of at least `count` granules, from leaf `from` on, or
 * NOT_FOUND; or, if there is none below granule `limit`, any number above that. */
APART size_t next_in_tree(const struct ffalloc_pool *pool, size_t from, size_t count, size_t limit,
                          size_t *end)
{
    uint32_t least = large_least(count);
    size_t last = large_page(limit < pool->granule_count ? limit : pool->granule_count);
    size_t page = large_page(first_granule_of(from));
    page = page ? next_page(pool, page, least, last) : first_page(pool, least, last);
    for (; page <= last; page = next_page(pool, page + 1, least, last)) {
        uint32_t word = page_level(pool, 0)[page];
        *end = end_in_leaf(pool, ((page + 1) << PAGE_LEAVES_LOG2) + word % PAGE_LEAVES);
        size_t known = word >> PAGE_LEAVES_LOG2;
        bool is_known = WORD_LOG2 == 5 || known < MOST_LARGE;
        size_t start = is_known ? *end - known : map_hole_start(pool, *end);
        if (start < *end && leaf_of(start) >= from && *end - start >= count)
            return start;
    }
    return NOT_FOUND;
}

size_t ffalloc_large_next(const struct ffalloc_pool *pool, size_t from, size_t count, size_t *end)
{
    EXPECT(count >= LARGE);
    /* Of what no pool holds the words are not made: they would wrap. */
    if (pool->page_level_count == 0 || count > pool->granule_count)
        return NOT_FOUND;
    size_t loose_end = 0;
    size_t loose = next_loose(pool, from, count, &loose_end);
    if (!HAS_HINTS || top_first(pool, large_least(count)) < PAGE_FANOUT) {
        size_t start = next_in_tree(pool, from, count, loose, end);
        if (start < loose)
            return start;
    }
    if (loose != NOT_FOUND) {
        *end = loose_end;
        return loose;
    }
    *end = pool->granule_count;
    size_t start = map_hole_start(pool, *end);
    return *end - start >= count && leaf_of(start) >= from ? start : NOT_FOUND;
}

#endif
