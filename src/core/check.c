/* SPDX-License-Identifier: MIT */
/*
 * Tests every numbered invariant of pool.h, in an order in which each test may rely on those
 * before it: damaged words lead to a report, never astray. Beyond the high-water mark nothing
 * was ever written, and the map of a pool of terabytes is better not read: there the length of
 * the last run stands for its leaves.
 */
#include "choices.h"
#include "index.h"

struct audit {
    const struct ffalloc_pool *pool;
    struct ffalloc_fault fault;
};

/* Returns whether `holds`; notes the rule and the place if not. */
static bool require(struct audit *audit, bool holds, const char *rule, size_t granule)
{
    if (!holds)
        audit->fault = (struct ffalloc_fault){rule, bytes_of(audit->pool, granule)};
    return holds;
}

static bool check_sentinel(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t end = pool->granule_count;
    const struct leaf *last = &pool->leaves[leaf_of(end)];
    return require(audit, (last->used | bits_below(end)) == SIZE_MAX, "M1", end) &&
           require(audit, (last->starts & ~bits_below(end)) == bit_of(end), "M1", end) &&
           require(audit, pool->high_water_granules <= end, "C2", end);
}

/* M3 for the run that begins at `leaf`; sets `length` to the run's. `is_used` tells what the
 * granule before it is. */
static bool check_run(struct audit *audit, size_t leaf, bool is_used, size_t *length)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t last_leaf = leaf_of(pool->granule_count);
    size_t word = pool->leaves[leaf].starts;
    size_t run = word >> 1;
    size_t granule = first_granule_of(leaf);
    if (!require(audit, run >= 1 && run <= last_leaf - leaf, "M3", granule) ||
        !require(audit, pool->leaves[leaf + run - 1].starts == word, "M3", granule) ||
        !require(audit, is_used || !(word & RUN_OF_BLOCK), "M3", granule))
        return false;
    const struct leaf *next = &pool->leaves[leaf + run];
    if (!require(audit,
                 !leaf_is_blank(next) || (word & RUN_OF_BLOCK && !(next->starts & RUN_OF_BLOCK)),
                 "M3", granule))
        return false;
    for (size_t i = leaf; i < leaf + run && i <= leaf_of(pool->high_water_granules); i++)
        if (!require(audit, leaf_is_blank(&pool->leaves[i]), "M3", granule))
            return false;
    *length = run;
    return true;
}

/* M2 for a leaf that is not blank. */
static bool check_leaf(struct audit *audit, size_t leaf, bool is_used)
{
    const struct leaf *words = &audit->pool->leaves[leaf];
    size_t stray = words->starts & ~words->used;
    stray |= words->used & ~words->starts & ~(words->used << 1 | is_used);
    return require(audit, !stray, "M2", first_granule_of(leaf) + (stray ? lowest_bit(stray) : 0)) &&
           require(audit, words->used != SIZE_MAX || words->starts, "M3", first_granule_of(leaf));
}

static bool check_leaves(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t last_leaf = leaf_of(pool->granule_count);
    bool is_used = false; /* the granule before the leaf */
    for (size_t leaf = 0; leaf <= last_leaf;) {
        const struct leaf *words = &pool->leaves[leaf];
        size_t step = 1;
        if (!leaf_is_blank(words)) {
            if (!check_leaf(audit, leaf, is_used))
                return false;
            is_used = !leaf_ends_in_hole(words);
        } else {
            if (!check_run(audit, leaf, is_used, &step))
                return false;
            is_used = words->starts & RUN_OF_BLOCK;
        }
        leaf += step;
    }
    return true;
}

static bool check_blocks(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t block_granules = 0;
    size_t used_count = 0;
    size_t used_end = 0;
    for (size_t start = 0, end; start < pool->granule_count; start = end) {
        bool is_hole = map_is_hole(pool, start);
        end = map_next(pool, start);
        block_granules += is_hole ? 0 : end - start;
        used_count += !is_hole;
        used_end = is_hole ? used_end : end;
    }
    return require(audit, used_granules(pool) == block_granules, "C1", 0) &&
           require(audit, !FFALLOC_STATISTICS || pool->most_used_granules >= block_granules, "C1",
                   0) &&
           require(audit, used_end <= pool->high_water_granules, "C2", used_end) &&
           require(audit, pool->alloc_count - pool->free_count == used_count, "C3", 0);
}

/* The largest hole that starts in a leaf that is not inside a run, saturated. */
static unsigned largest_hole(const struct ffalloc_pool *pool, size_t leaf)
{
    size_t largest = 0;
    const struct leaf *words = &pool->leaves[leaf];
    size_t free =
        leaf_is_blank(words) && words->starts & RUN_OF_BLOCK ? 0 : leaf_own_free(pool, leaf);
    for (; free; free &= free + (free & -free)) {
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
        if (!require(audit, byte >= least && byte <= most, "X1", first_granule_of(leaf)))
            return false;
    }
    return true;
}

static bool check_tree(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t last = leaf_of(pool->high_water_granules);
    unsigned shift = WORD_LOG2;
    for (unsigned level = 1; level < pool->level_count; level++) {
        last >>= FANOUT_LOG2;
        shift += FANOUT_LOG2;
        for (size_t node = 0; node <= last; node++) {
            unsigned byte = pool->levels[level][node];
            unsigned largest = node_max(pool->levels[level - 1] + (node << FANOUT_LOG2));
            bool is_stale = level == 1 && pool->stale[node & (STALE_NODES - 1)] == node;
            if (!require(audit, byte == largest || (is_stale && byte > largest), "X2",
                         node << shift))
                return false;
        }
    }
    return true;
}

static bool check_hints(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    for (unsigned i = 0; i < HINTS; i++) {
        size_t leaf = pool->hints[i];
        size_t lowest = ffalloc_index_next(pool, 0, (unsigned)hint_least(i));
        if (!require(audit, leaf <= leaf_of(pool->granule_count), "X3", 0) ||
            !require(audit, leaf <= lowest, "X3", first_granule_of(leaf)) ||
            !require(audit, i == 0 || pool->hints[i - 1] <= leaf, "X3", first_granule_of(leaf)))
            return false;
    }
    return true;
}

/* L1 for the pages from `page` to before `end`, in which no large hole starts. */
static bool check_empty_pages(struct audit *audit, size_t page, size_t end)
{
    for (; page < end; page++)
        if (!require(audit, page_level(audit->pool, 0)[page] == 0, "L1", page << LARGE_LOG2))
            return false;
    return true;
}

/* No large hole starts above the high-water mark, so its page is the last one with a word. */
static size_t touched_pages(const struct ffalloc_pool *pool)
{
    size_t pages = page_count_of(pool->granule_count);
    size_t last = pool->high_water_granules >> LARGE_LOG2;
    return last < pages ? last + 1 : pages;
}

static bool check_pages(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t pages = touched_pages(pool);
    size_t page = 0;
    int loose_count = 0;
    for (size_t start = 0, end; start < pool->granule_count; start = end) {
        end = map_next(pool, start);
        if (!map_is_hole(pool, start) || end - start < LARGE)
            continue;
        bool is_loose = large_is_loose(pool, leaf_of(start));
        uint32_t word = is_loose ? 0 : large_word(end - start);
        if (!check_empty_pages(audit, page, start >> LARGE_LOG2))
            return false;
        page = start >> LARGE_LOG2;
        if (!require(audit, page_level(pool, 0)[page] == word, "L1", start))
            return false;
        loose_count += is_loose;
        page++;
    }
    return check_empty_pages(audit, page, pages) &&
           require(audit,
                   loose_count ==
                       (pool->loose[CARVED] != NO_LEAF) + (pool->loose[GROWN] != NO_LEAF),
                   "L1", 0);
}

static bool check_page_tree(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t pages = touched_pages(pool);
    for (unsigned level = 1; level < pool->page_level_count; level++) {
        unsigned shift = level * PAGE_FANOUT_LOG2;
        for (size_t i = 0; i << shift < pages; i++)
            if (!require(audit,
                         page_level(pool, level)[i] == ffalloc_large_largest(pool, level - 1, i),
                         "L2", i << shift << LARGE_LOG2))
                return false;
    }
    return true;
}

bool ffalloc_check(const struct ffalloc_pool *pool, struct ffalloc_fault *fault)
{
    struct audit audit = {pool, {NULL, 0}};
    bool is_sound = check_sentinel(&audit) && check_leaves(&audit) && check_blocks(&audit) &&
                    check_bytes(&audit) && check_tree(&audit) && check_hints(&audit) &&
                    check_pages(&audit) && check_page_tree(&audit);
    if (!is_sound && fault)
        *fault = audit.fault;
    return is_sound;
}
