/* SPDX-License-Identifier: MIT */
/*
 * Tests every numbered invariant of pool.h, in an order in which each test may rely on those
 * before it: damaged words lead to a report, never astray. Beyond the high-water mark nothing
 * was ever written, and the map of a pool of terabytes is better not read: there the length of
 * the last run stands for its leaves.
 */
#include "audit.h"
#include "choices.h"
#include "grow.h"
#include "map.h"

bool ffalloc_require(struct audit *audit, bool holds, const char *rule, size_t granule)
{
    if (!holds) {
        audit->fault.rule = rule;
        audit->fault.offset = bytes_of(audit->pool, granule);
    }
    return holds;
}

static bool check_sentinel(struct audit *audit)
{
    const struct ffalloc_pool *pool = audit->pool;
    size_t end = pool->granule_count;
    const struct leaf *last = &pool->leaves[leaf_of(end)];
    return ffalloc_require(audit, (last->used | bits_below(end)) == SIZE_MAX, "M1", end) &&
           ffalloc_require(audit, (last->starts & ~bits_below(end)) == bit_of(end), "M1", end) &&
           ffalloc_require(audit, pool->high_water_granules <= end, "C2", end);
}

static bool check_growth(struct audit *audit)
{
#if FFALLOC_GROWTH
    const struct ffalloc_pool *pool = audit->pool;
    if (pool->is_growing) {
        const struct growth *growth = growth_of(pool);
        size_t odd = bytes_of(pool, pool->granule_count) & (growth->unit - 1);
        return ffalloc_require(audit, !odd && pool->granule_count <= growth->most_granules, "G1",
                               pool->granule_count);
    }
#endif
    (void)audit;
    return true;
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
    if (!ffalloc_require(audit, run >= 1 && run <= last_leaf - leaf, "M3", granule) ||
        !ffalloc_require(audit, pool->leaves[leaf + run - 1].starts == word, "M3", granule) ||
        !ffalloc_require(audit, is_used || !(word & RUN_OF_BLOCK), "M3", granule))
        return false;
    const struct leaf *next = &pool->leaves[leaf + run];
    if (!ffalloc_require(
            audit, !leaf_is_blank(next) || (word & RUN_OF_BLOCK && !(next->starts & RUN_OF_BLOCK)),
            "M3", granule))
        return false;
    for (size_t i = leaf; i < leaf + run && i <= leaf_of(pool->high_water_granules); i++)
        if (!ffalloc_require(audit, leaf_is_blank(&pool->leaves[i]), "M3", granule))
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
    return ffalloc_require(audit, !stray, "M2",
                           first_granule_of(leaf) + (stray ? lowest_bit(stray) : 0)) &&
           ffalloc_require(audit, words->used != SIZE_MAX || words->starts, "M3",
                           first_granule_of(leaf));
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

static bool check_quick(struct audit *audit)
{
#if !FFALLOC_SMALL
    const struct ffalloc_pool *pool = audit->pool;
    return ffalloc_require(
        audit,
        pool->quick_size <= most_quick_size(pool) &&
            (!FFALLOC_STATISTICS || pool->quick_size <= pool->largest_request_size),
        "C4", 0);
#else
    (void)audit;
    return true;
#endif
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
    return ffalloc_require(audit, used_granules(pool) == block_granules, "C1", 0) &&
           ffalloc_require(audit, !FFALLOC_STATISTICS || pool->most_used_granules >= block_granules,
                           "C1", 0) &&
           ffalloc_require(audit, used_end <= pool->high_water_granules, "C2", used_end) &&
           ffalloc_require(audit, used_count <= pool->alloc_count, "C3", 0) && check_quick(audit);
}

bool ffalloc_check(const struct ffalloc_pool *pool, struct ffalloc_fault *fault)
{
    struct audit audit = {pool, {NULL, 0}};
    bool is_sound = check_sentinel(&audit) && check_growth(&audit) && check_leaves(&audit) &&
                    check_blocks(&audit) && ffalloc_check_index(&audit);
    if (!is_sound && fault)
        *fault = audit.fault;
    return is_sound;
}
