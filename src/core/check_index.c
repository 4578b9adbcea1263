/* SPDX-License-Identifier: MIT */
/* The part of ffalloc_check that tests the index, where the map is known to be sound. */
#include "audit.h"
#include "hints.h"

#if !FFALLOC_SMALL

/* The largest hole that starts in a leaf that is not inside a run, saturated. */
static unsigned largest_hole(const struct ffalloc_pool *pool, size_t leaf)
{
    size_t largest = 0;
    const struct leaf *words = &pool->leaves[leaf];
    size_t free =
        leaf_is_blank(words) && words->starts & RUN_OF_BLOCK ? 0 : leaf_own_free(pool, leaf);
    for (; free; free = after_hole(free)) {
        size_t start = first_granule_of(leaf) + lowest_bit(free);
        size_t count = map_hole_end(pool, start) - start;
        largest = count > largest ? count : largest;
    }
    return saturated(largest);
}

/* No hole starts above the high-water mark, so its leaf is the last one with a byte. */
static bool check_bytes(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t run_end = 0;
    for (size_t leaf = 0; leaf <= leaf_of(pool->high_water_granules); leaf++) {
        unsigned most = leaf < run_end ? 0 : ffalloc_index_count(pool, leaf);
        unsigned least = leaf < run_end ? 0 : largest_hole(pool, leaf);
        if (leaf >= run_end && leaf_is_blank(&pool->leaves[leaf]))
            run_end = leaf + (pool->leaves[leaf].starts >> 1);
        unsigned byte = pool->levels[0][leaf];
        if (!ffalloc_require(audit, byte >= least && byte <= most, "X1", first_granule_of(leaf)))
            return false;
    }
    return true;
}

#if HAS_HINTS

static bool is_stale_node(const struct ffalloc_pool *pool, size_t node)
{
    return pool->stale[node & (STALE_NODES - 1)] == node;
}

static bool check_hints(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    for (unsigned i = 0; i < HINTS; i++) {
        size_t leaf = pool->hints[i];
        size_t lowest = ffalloc_index_next(pool, 0, (unsigned)hint_least(i));
        if (!ffalloc_require(audit, leaf <= leaf_of(pool->granule_count), "X3", 0) ||
            !ffalloc_require(audit, leaf <= lowest, "X3", first_granule_of(leaf)) ||
            !ffalloc_require(audit, i == 0 || pool->hints[i - 1] <= leaf, "X3",
                             first_granule_of(leaf)))
            return false;
    }
    return ffalloc_require(audit, pool->hints[HINTS] == NO_LEAF, "X3", 0);
}

#else

static bool is_stale_node(const struct ffalloc_pool *pool, size_t node)
{
    (void)pool;
    (void)node;
    return false;
}

static bool check_hints(struct audit *audit)
{
    (void)audit;
    return true;
}

#endif

static bool check_tree(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t last = leaf_of(pool->high_water_granules);
    unsigned top = pool->level_count - 1u;
    for (unsigned level = 1; level <= top || level == 1; level++) {
        unsigned shift = level * FANOUT_LOG2;
        for (size_t node = 0; node <= last >> shift; node++) {
            unsigned byte = pool->levels[level][node];
            unsigned largest = node_max(pool->levels[level - 1] + (node << FANOUT_LOG2));
            bool is_stale = level == 1 && is_stale_node(pool, node);
            if (!ffalloc_require(audit, byte == largest || (is_stale && byte > largest), "X2",
                                 first_granule_of(node << shift)))
                return false;
        }
    }
    for (size_t node = FANOUT; node <= last >> top * FANOUT_LOG2; node++)
        if (!ffalloc_require(audit, pool->levels[top][node] == 0, "X2",
                             first_granule_of(node << top * FANOUT_LOG2)))
            return false;
    return true;
}

/* L1 for the pages from `page` to before `end`, which no large hole ends after. */
static bool check_empty_pages(struct audit *audit, size_t page, size_t end)
{
    for (; page < end; page++)
        if (!ffalloc_require(audit, page_level(audit->pool, 0)[page] == 0, "L1",
                             page << LARGE_LOG2))
            return false;
    return true;
}

/* No hole but the pool's last ends above the high-water mark, so its page is the last one with a
 * word. */
static size_t touched_pages(const struct ffalloc_pool *pool)
{
    size_t pages = page_count_of(pool->granule_count);
    size_t last = large_page(pool->high_water_granules);
    return last < pages ? last + 1 : pages;
}

/* That so many loose holes were seen. */
static bool check_loose(struct audit *audit, unsigned count)
{
#if HAS_HINTS
    const uint32_t *loose = audit->pool->loose;
    unsigned expected = (unsigned)(loose[CARVED] != NO_LEAF) + (loose[GROWN] != NO_LEAF);
    return ffalloc_require(audit, count == expected, "L1", 0);
#else
    (void)audit;
    (void)count;
    return true; /* no more than one ends with the pool */
#endif
}

static bool check_pages(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t pages = touched_pages(pool);
    size_t page = 0;
    unsigned loose_count = 0;
    for (size_t start = 0, end; start < pool->granule_count; start = end) {
        end = map_next(pool, start);
        if (!map_is_hole(pool, start) || end - start < LARGE)
            continue;
        size_t its_page = large_page_of_end(end);
        bool is_loose = large_is_loose(pool, start, end);
        bool is_last = end == pool->granule_count;
        uint32_t word = is_loose || is_last ? 0 : large_word(start, end);
        if (!is_last && !check_empty_pages(audit, page, its_page))
            return false;
        if (!ffalloc_require(audit, page_level(pool, 0)[its_page] == word, "L1", start))
            return false;
        loose_count += is_loose;
        page = is_last ? page : its_page + 1;
    }
    return check_empty_pages(audit, page, pages) && check_loose(audit, loose_count);
}

static bool check_page_tree(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t pages = touched_pages(pool);
    for (unsigned level = 1; level < pool->page_level_count; level++) {
        unsigned shift = level * PAGE_FANOUT_LOG2;
        for (size_t i = 0; i << shift < pages; i++)
            if (!ffalloc_require(
                    audit, page_level(pool, level)[i] == ffalloc_large_largest(pool, level - 1, i),
                    "L2", i << shift << LARGE_LOG2))
                return false;
    }
    return true;
}

bool ffalloc_check_index(struct audit *audit)
{
    return check_bytes(audit) && check_tree(audit) && check_hints(audit) && check_pages(audit) &&
           check_page_tree(audit);
}

#endif
