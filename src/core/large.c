/* SPDX-License-Identifier: MIT */
#include "large.h"

/* Where the node ends that has word `idx` of a level. */
static size_t node_end(const struct ffalloc_pool *pool, unsigned level, size_t idx)
{
    size_t count = page_level_count_of(pool, level);
    size_t end = (idx | (PAGE_FANOUT - 1)) + 1;
    return end < count ? end : count;
}

uint32_t ffalloc_large_largest(const struct ffalloc_pool *pool, unsigned level, size_t idx)
{
    const uint32_t *words = page_level(pool, level);
    uint32_t largest = 0;
    for (size_t i = idx & ~(PAGE_FANOUT - 1); i < node_end(pool, level, idx); i++)
        largest = words[i] > largest ? words[i] : largest;
    return largest;
}

#if FFALLOC_SMALL

void ffalloc_large_set(struct ffalloc_pool *pool, size_t page, uint32_t word)
{
    for (unsigned level = 0; level < pool->page_level_count; level++) {
        page_level(pool, level)[page] = word;
        word = ffalloc_large_largest(pool, level, page);
        page >>= PAGE_FANOUT_LOG2;
    }
}

#else

void ffalloc_large_set(struct ffalloc_pool *pool, size_t page, uint32_t word)
{
    while (page >> pool->page_level_count * PAGE_FANOUT_LOG2) {
        page_level(pool, pool->page_level_count)[0] =
            ffalloc_large_largest(pool, pool->page_level_count - 1u, 0);
        pool->page_level_count++;
    }
    for (unsigned level = 0;; level++) {
        uint32_t before = page_level(pool, level)[page];
        page_level(pool, level)[page] = word;
        if (level + 1u == pool->page_level_count)
            return;
        /* A smaller child changes its parent only if the parent's word was this child's. */
        uint32_t above = page_level(pool, level + 1)[page >> PAGE_FANOUT_LOG2];
        if (word >= before ? word <= above : before < above)
            return;
        if (word < before)
            word = ffalloc_large_largest(pool, level, page);
        page >>= PAGE_FANOUT_LOG2;
    }
}

#endif

/* The first page from `page` on whose word is at least `least`, or NOT_FOUND. */
static size_t next_page(const struct ffalloc_pool *pool, size_t page, uint32_t least)
{
    /* Up from the page; from the first of all, that is from the top. */
    size_t idx = page;
    unsigned level = page == 0 ? pool->page_level_count - 1u : 0;
    for (;;) {
        const uint32_t *words = page_level(pool, level);
        size_t end = node_end(pool, level, idx);
        while (idx < end && words[idx] < least)
            idx++;
        if (idx < end)
            break;
        if (++level == pool->page_level_count)
            return NOT_FOUND;
        idx = (idx + PAGE_FANOUT - 1) >> PAGE_FANOUT_LOG2; /* the first not looked into */
    }
    while (level-- > 0) {
        const uint32_t *words = page_level(pool, level);
        for (idx <<= PAGE_FANOUT_LOG2; words[idx] < least && ~idx & (PAGE_FANOUT - 1);)
            idx++;
    }
    return idx;
}

size_t ffalloc_large_leaf(const struct ffalloc_pool *pool, size_t page)
{
    size_t first = page << (LARGE_LOG2 - WORD_LOG2);
    size_t leaf = ((page + 1) << (LARGE_LOG2 - WORD_LOG2)) - 1;
    while (leaf > first && pool->levels[0][leaf] < SATURATED)
        leaf--;
    return leaf;
}

static size_t next_in_tree(const struct ffalloc_pool *pool, size_t from, size_t count)
{
    size_t page = page_of_leaf(from);
    while ((page = next_page(pool, page, large_word(count))) != NOT_FOUND) {
        size_t leaf = ffalloc_large_leaf(pool, page);
        /* A word counts no further than 2^32, which few holes of any pool exceed. */
        if (leaf >= from && large_count(pool, leaf) >= count)
            return leaf;
        page++;
    }
    return NOT_FOUND;
}

size_t ffalloc_large_next(const struct ffalloc_pool *pool, size_t from, size_t count)
{
    if (pool->page_level_count == 0)
        return NOT_FOUND;
    size_t lowest = next_in_tree(pool, from, count);
    for (unsigned place = CARVED; !FFALLOC_SMALL && place <= GROWN; place++) {
        size_t leaf = pool->loose[place];
        if (leaf != NO_LEAF && leaf >= from && leaf < lowest && large_count(pool, leaf) >= count)
            lowest = leaf;
    }
    return lowest;
}
