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
    return require(audit, pool->leaves[0].starts & 1, "M1", 0) &&
           require(audit, last->starts & ~last->holes & bit_of(end), "M1", end) &&
           require(audit, !(last->starts & ~bit_of(end) & ~(bit_of(end) - 1)), "M1", end) &&
           require(audit, pool->high_water_granules <= end, "C2", end);
}

/* M4 for the run that begins at `leaf`; sets `length` to the run's. */
static bool check_run(struct audit *audit, size_t leaf, size_t *length)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t last_leaf = leaf_of(pool->granule_count);
    size_t run = pool->leaves[leaf].holes;
    size_t granule = first_granule_of(leaf);
    if (!require(audit, run >= 1 && run <= last_leaf - leaf, "M4", granule) ||
        !require(audit, pool->leaves[leaf + run - 1].holes == run, "M4", granule) ||
        !require(audit, pool->leaves[leaf + run].starts, "M4", granule))
        return false;
    for (size_t i = leaf; i < leaf + run && i <= leaf_of(pool->high_water_granules); i++)
        if (!require(audit, !pool->leaves[i].starts, "M4", granule))
            return false;
    *length = run;
    return true;
}

static bool check_leaves(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t last_leaf = leaf_of(pool->granule_count);
    for (size_t leaf = 0; leaf <= last_leaf;) {
        const struct leaf *words = &pool->leaves[leaf];
        size_t step = 1;
        if (words->starts) {
            size_t stray = words->holes & ~words->starts;
            if (!require(audit, !stray, "M2",
                         first_granule_of(leaf) + (stray ? lowest_bit(stray) : 0)))
                return false;
        } else if (!check_run(audit, leaf, &step)) {
            return false;
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
    bool left_is_hole = false;
    for (size_t start = 0, end; start < pool->granule_count; start = end) {
        bool is_hole = map_is_hole(pool, start);
        end = map_next(pool, start);
        if (!require(audit, !(is_hole && left_is_hole), "M3", start))
            return false;
        left_is_hole = is_hole;
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

/* No hole starts above the high-water mark, so its leaf is the last one with a byte. */
static bool check_tree(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t last = leaf_of(pool->high_water_granules);
    for (size_t leaf = 0; leaf <= last; leaf++)
        if (!require(audit, pool->levels[0][leaf] == ffalloc_index_count(pool, leaf), "X1",
                     first_granule_of(leaf)))
            return false;
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

/* L1 for a loose leaf. */
static bool check_loose(struct audit *audit, uint32_t leaf)
{
    const struct ffalloc_pool *pool = audit->pool;
    return require(audit,
                   leaf == NO_LEAF ||
                       (leaf <= leaf_of(pool->granule_count) && pool->leaves[leaf].starts &&
                        pool->leaves[leaf].holes && large_count(pool, leaf) >= LARGE),
                   "L1", 0);
}

/* What the word of a page is to be. */
static uint32_t page_word(const struct ffalloc_pool *pool, size_t page)
{
    size_t leaf = ffalloc_large_leaf(pool, page);
    if (!pool->leaves[leaf].starts || !leaf_ends_in_hole(&pool->leaves[leaf]))
        return 0;
    size_t count = large_count(pool, leaf);
    return count < LARGE || large_is_loose(pool, leaf) ? 0 : large_word(count);
}

/* No large hole starts above the high-water mark, so its page is the last one with a word. */
static bool check_large(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    if (!check_loose(audit, pool->loose[CARVED]) || !check_loose(audit, pool->loose[GROWN]) ||
        !require(audit, pool->loose[CARVED] == NO_LEAF || pool->loose[CARVED] != pool->loose[GROWN],
                 "L1", 0))
        return false;
    for (unsigned level = 0; level < pool->page_level_count; level++) {
        unsigned shift = LARGE_LOG2 + level * PAGE_FANOUT_LOG2;
        size_t count = page_level_count_of(pool, level);
        for (size_t i = 0; i < count && i << shift <= pool->high_water_granules; i++) {
            uint32_t word = page_level(pool, level)[i];
            bool is_right =
                level == 0 ? word == page_word(pool, i)
                           : word == ffalloc_large_largest(pool, level - 1, i << PAGE_FANOUT_LOG2);
            if (!require(audit, is_right, level == 0 ? "L1" : "L2", i << shift))
                return false;
        }
    }
    return true;
}

bool ffalloc_check(const struct ffalloc_pool *pool, struct ffalloc_fault *fault)
{
    struct audit audit = {pool, {NULL, 0}};
    bool is_sound = check_sentinel(&audit) && check_leaves(&audit) && check_blocks(&audit) &&
                    check_tree(&audit) && check_hints(&audit) && check_large(&audit);
    if (!is_sound && fault)
        *fault = audit.fault;
    return is_sound;
}
