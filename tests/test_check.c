/* SPDX-License-Identifier: MIT */
/* Each numbered invariant of src/core/pool.h is broken on purpose, and ffalloc_check names it. */
#include <string.h>

#include "../src/core/hints.h"
#include "twin.h"
#include "unit.h"

static _Alignas(64) unsigned char memory[1 << 20];
static unsigned char saved[1 << 20];

/*
 * Leaves 0 to a few: blocks of one granule and holes of two; then large holes of 300 granules,
 * four of them in the tree, between blocks of 300; and the loose ones, the rest and, with hints,
 * the last freed.
 */
static struct ffalloc_pool *example(void)
{
    struct ffalloc_config config = {.granule = 16};
    struct ffalloc_pool *pool = ffalloc_init_with(memory, sizeof memory, &config);
    void *small[90];
    void *large[11];
    for (size_t i = 0; i < 90; i++)
        small[i] = ffalloc_malloc(pool, i % 2 ? 16 : 32);
    for (size_t i = 0; i < 11; i++)
        large[i] = ffalloc_malloc(pool, (300 + (i * 7 % 11) * 4) * 16);
    for (size_t i = 0; i < 90; i += 2)
        ffalloc_free(pool, small[i]);
    for (size_t i = 1; i < 11; i += 2)
        ffalloc_free(pool, large[i]);
    return pool;
}

/* The first leaf in which a large hole starts; runs of blank leaves lie on both sides. */
static size_t leaf_of_large(const struct ffalloc_pool *pool)
{
    size_t leaf = 0;
    while (pool->levels[0][leaf] < 255)
        leaf++;
    return leaf;
}

/* The granule at which that hole starts. */
static size_t start_of_large(const struct ffalloc_pool *pool)
{
    size_t leaf = leaf_of_large(pool);
    return first_granule_of(leaf) + leaf_last_hole(&pool->leaves[leaf]);
}

static struct leaf *sentinel_leaf(struct ffalloc_pool *pool)
{
    return &pool->leaves[leaf_of(pool->granule_count)];
}

static void break_sentinel(struct ffalloc_pool *pool)
{
    sentinel_leaf(pool)->starts = 0;
}

static void free_sentinel(struct ffalloc_pool *pool)
{
    sentinel_leaf(pool)->used ^= bit_of(pool->granule_count);
}

static void free_beyond_sentinel(struct ffalloc_pool *pool)
{
    sentinel_leaf(pool)->used ^= bit_of(pool->granule_count) << 1;
}

static void start_beyond_sentinel(struct ffalloc_pool *pool)
{
    sentinel_leaf(pool)->starts |= bit_of(pool->granule_count) << 1;
}

/* The first block in the example is of one granule, at granule 2, after a hole. */
static void start_in_a_hole(struct ffalloc_pool *pool)
{
    pool->leaves[0].starts |= 1;
}

static void block_without_a_start(struct ffalloc_pool *pool)
{
    pool->leaves[0].starts &= ~(size_t)4;
}

static void used_granule_of_no_block(struct ffalloc_pool *pool)
{
    pool->leaves[0].used |= 1;
}

/* The runs of that hole, and of the block before it. */
static size_t *run_of_hole(struct ffalloc_pool *pool)
{
    return &pool->leaves[leaf_of_large(pool) + 1].starts;
}

static size_t *run_of_block(struct ffalloc_pool *pool)
{
    return &pool->leaves[leaf_of_large(pool) - 1].starts;
}

static void wrong_run_start(struct ffalloc_pool *pool)
{
    *run_of_hole(pool) += 2;
}

static void wrong_run_end(struct ffalloc_pool *pool)
{
    *run_of_block(pool) += 2;
}

static void wrong_kind_of_hole(struct ffalloc_pool *pool)
{
    *run_of_hole(pool) |= RUN_OF_BLOCK;
}

static void wrong_kind_of_block(struct ffalloc_pool *pool)
{
    *run_of_block(pool) &= ~RUN_OF_BLOCK;
}

static void endless_run(struct ffalloc_pool *pool)
{
    *run_of_hole(pool) = SIZE_MAX - RUN_OF_BLOCK;
}

/* A leaf inside a block says so in bits. */
static void unmarked_run(struct ffalloc_pool *pool)
{
    pool->leaves[leaf_of_large(pool) - 1] = (struct leaf){SIZE_MAX, 0};
}

/* Two holes side by side, by their runs. */
static void split_run(struct ffalloc_pool *pool)
{
    size_t *run = run_of_hole(pool);
    size_t length = *run >> 1;
    run[0] = 1 << 1;
    run[2] = run[2 * (length - 1)] = (length - 1) << 1;
}

static void used_leaf_in_a_hole(struct ffalloc_pool *pool)
{
    pool->leaves[leaf_of_large(pool) + 2].used = 1;
}

static void low_byte(struct ffalloc_pool *pool)
{
    pool->levels[0][0]--;
}

static void high_byte(struct ffalloc_pool *pool)
{
    pool->levels[0][1]++;
}

static void byte_of_a_leaf_without_holes(struct ffalloc_pool *pool)
{
    pool->levels[0][leaf_of_large(pool) + 1] = 3;
}

static void low_node(struct ffalloc_pool *pool)
{
    pool->levels[1][0]--;
}

static void high_node(struct ffalloc_pool *pool)
{
#if HAS_HINTS
    pool->stale[0] = NO_LEAF;
#endif
    pool->levels[1][0] = 254;
}

#if !FFALLOC_SMALL

static void level_out_of_use(struct ffalloc_pool *pool)
{
    pool->level_count--;
}

/* A page with a word. */
static size_t page_with_word(const struct ffalloc_pool *pool)
{
    return large_page_of_end(large_end(pool, leaf_of_large(pool)));
}

#if HAS_HINTS

static void high_hint(struct ffalloc_pool *pool)
{
    pool->hints[HINTS - 1] = pool->loose[CARVED];
}

static void descending_hints(struct ffalloc_pool *pool)
{
    pool->hints[HINTS - 2] = 1;
    pool->hints[HINTS - 1] = 0;
}

static void hint_out_of_the_pool(struct ffalloc_pool *pool)
{
    pool->hints[HINTS - 1] = UINT32_MAX;
}

static void no_end_of_the_hints(struct ffalloc_pool *pool)
{
    pool->hints[HINTS] = pool->hints[HINTS - 1];
}

#endif

static void forgotten_page(struct ffalloc_pool *pool)
{
    page_level(pool, 0)[page_with_word(pool)] = 0;
}

static void wrong_page(struct ffalloc_pool *pool)
{
    page_level(pool, 0)[page_with_word(pool)]++;
}

static void page_without_a_hole(struct ffalloc_pool *pool)
{
    page_level(pool, 0)[page_with_word(pool) + 1] = LARGE;
}

static void page_of_the_last_hole(struct ffalloc_pool *pool)
{
    page_level(pool, 0)[large_page_of_end(pool->granule_count)] = LARGE;
}

#if HAS_HINTS

static void page_of_a_loose_hole(struct ffalloc_pool *pool)
{
    page_level(pool, 0)[large_page_of_end(large_end(pool, pool->loose[GROWN]))] = LARGE;
}

static void forgotten_loose(struct ffalloc_pool *pool)
{
    pool->loose[GROWN] = NO_LEAF;
}

static void twice_loose(struct ffalloc_pool *pool)
{
    pool->loose[GROWN] = pool->loose[CARVED];
}

static void loose_without_a_hole(struct ffalloc_pool *pool)
{
    pool->loose[GROWN] = 0;
}

static void loose_out_of_the_pool(struct ffalloc_pool *pool)
{
    pool->loose[GROWN] = (uint32_t)leaf_of(pool->granule_count) + 1;
}

#endif

static void low_page_node(struct ffalloc_pool *pool)
{
    page_level(pool, 1)[page_with_word(pool) / PAGE_FANOUT]--;
}

static void high_page_node(struct ffalloc_pool *pool)
{
    page_level(pool, 1)[page_with_word(pool) / PAGE_FANOUT]++;
}

#endif

static void wrong_used_count(struct ffalloc_pool *pool)
{
    pool->spare_granules++;
}

static void wrong_peak(struct ffalloc_pool *pool)
{
    pool->spare_granules -= pool->most_used_granules;
    pool->most_used_granules = 0;
}

static void low_mark(struct ffalloc_pool *pool)
{
    pool->high_water_granules = start_of_large(pool);
}

static void mark_beyond_the_pool(struct ffalloc_pool *pool)
{
    pool->high_water_granules = pool->granule_count + 1;
}

static void wrong_block_count(struct ffalloc_pool *pool)
{
    pool->alloc_count = 1;
}

#if !FFALLOC_SMALL

static void too_quick(struct ffalloc_pool *pool)
{
    pool->quick_size = most_quick_size(pool) + 1;
}

static void quick_beyond_the_largest(struct ffalloc_pool *pool)
{
    pool->largest_request_size = pool->quick_size - 1;
}

#endif

#define BREAK(rule, function)                                                                      \
    {                                                                                              \
        rule, #function, function                                                                  \
    }

static const struct {
    const char *rule;
    const char *name;
    void (*apply)(struct ffalloc_pool *pool);
} breaks[] = {
    BREAK("M1", break_sentinel),
    BREAK("M1", free_sentinel),
    BREAK("M1", free_beyond_sentinel),
    BREAK("M1", start_beyond_sentinel),
    BREAK("M2", start_in_a_hole),
    BREAK("M2", block_without_a_start),
    BREAK("M2", used_granule_of_no_block),
    BREAK("M3", wrong_run_start),
    BREAK("M3", wrong_run_end),
    BREAK("M3", wrong_kind_of_hole),
    BREAK("M3", wrong_kind_of_block),
    BREAK("M3", endless_run),
    BREAK("M3", unmarked_run),
    BREAK("M3", split_run),
    BREAK("M3", used_leaf_in_a_hole),
    BREAK("X1", low_byte),
    BREAK("X1", high_byte),
    BREAK("X1", byte_of_a_leaf_without_holes),
    BREAK("X2", low_node),
    BREAK("X2", high_node),
#if !FFALLOC_SMALL /* which has all levels in use, and neither hints nor pages */
    BREAK("X2", level_out_of_use),
#if HAS_HINTS
    BREAK("X3", high_hint),
    BREAK("X3", descending_hints),
    BREAK("X3", hint_out_of_the_pool),
    BREAK("X3", no_end_of_the_hints),
#endif
    BREAK("L1", forgotten_page),
    BREAK("L1", wrong_page),
    BREAK("L1", page_without_a_hole),
    BREAK("L1", page_of_the_last_hole),
#if HAS_HINTS
    BREAK("L1", page_of_a_loose_hole),
    BREAK("L1", forgotten_loose),
    BREAK("L1", twice_loose),
    BREAK("L1", loose_without_a_hole),
    BREAK("L1", loose_out_of_the_pool),
#endif
    BREAK("L2", low_page_node),
    BREAK("L2", high_page_node),
#endif
    BREAK("C1", wrong_used_count),
    BREAK("C1", wrong_peak),
    BREAK("C2", low_mark),
    BREAK("C2", mark_beyond_the_pool),
    BREAK("C3", wrong_block_count),
#if !FFALLOC_SMALL
    BREAK("C4", too_quick),
    BREAK("C4", quick_beyond_the_largest),
#endif
};

#if !FFALLOC_SMALL

Test(check, finds_a_wrong_byte_for_the_only_node)
{
    struct ffalloc_pool *pool = ffalloc_init(memory, 2000);
    struct ffalloc_fault fault = {"none", 0};
    cr_assert(ffalloc_check(pool, &fault));
    pool->lone[0]--;
    cr_assert(!ffalloc_check(pool, &fault) && strcmp(fault.rule, "X2") == 0, "%s", fault.rule);
}

Test(check, finds_a_wrong_byte_for_the_only_leaf)
{
    struct ffalloc_pool *pool = ffalloc_init(memory, 300);
    struct ffalloc_fault fault = {"none", 0};
    cr_assert(ffalloc_check(pool, &fault) && leaf_of(pool->granule_count) == 0);
    pool->levels[0][0]--;
    cr_assert(!ffalloc_check(pool, &fault) && strcmp(fault.rule, "X1") == 0, "%s", fault.rule);
}

#endif

Test(check, finds_each_broken_invariant_and_names_it)
{
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        struct ffalloc_pool *pool = example();
        struct ffalloc_fault fault = {"none", 0};
        cr_assert(ffalloc_check(pool, &fault), "before %s: %s", breaks[i].name, fault.rule);
        breaks[i].apply(pool);
        cr_assert(!ffalloc_check(pool, &fault), "%s passes", breaks[i].name);
        cr_assert(strcmp(fault.rule, breaks[i].rule) == 0, "%s is reported as %s", breaks[i].name,
                  fault.rule);
        cr_assert(fault.offset <= sizeof memory, "%s at %zu", breaks[i].name, fault.offset);
        cr_assert(!ffalloc_check(pool, NULL));
    }
}

Test(check, reads_only)
{
    struct ffalloc_pool *pool = example();
    memcpy(saved, memory, sizeof memory);
    cr_assert(ffalloc_check(pool, NULL));
    cr_assert(memcmp(saved, memory, sizeof memory) == 0);
}

Test(check, tells_the_place)
{
    struct ffalloc_pool *pool = example();
    struct ffalloc_fault fault;
    block_without_a_start(pool);
    cr_assert(!ffalloc_check(pool, &fault) && fault.offset == 2 * 16);
}

/* What malloc itself notices: an index that promises a hole that is not there. */
static enum ffalloc_error told;

static void tell(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    (void)pool;
    (void)address;
    told = kind;
}

Test(check, malloc_refuses_a_hole_that_the_map_denies)
{
    struct ffalloc_pool *pool = example();
    pool->on_error = tell;
    ffalloc_index_set(pool, 0, 20);
#if HAS_HINTS
    pool->hints[HINTS - 1] = 0;
#endif
    told = FFALLOC_DOUBLE_FREE;
    cr_assert(ffalloc_malloc(pool, 20 * 16) == NULL && told == FFALLOC_DAMAGED);
}

#if !FFALLOC_SMALL

static bool has_run(size_t mask, size_t at, size_t count)
{
    size_t ones = ((size_t)1 << count) - 1;
    return at + count <= WORD_BITS && (mask >> at & ones) == ones;
}

/* Of words with one to three bits clear: long runs are what differs. */
Test(runs, begin_where_a_look_at_each_place_finds_them)
{
    uint64_t state = 1;
    for (int i = 0; i < 500; i++) {
        size_t mask = SIZE_MAX;
        for (int j = 0; j <= i % 3; j++)
            mask &= ~((size_t)1 << twin_random(&state) % WORD_BITS);
        for (size_t count = 1; count < WORD_BITS; count++) {
            size_t runs = mask_runs(mask, count);
            for (size_t at = 0; at < WORD_BITS; at++)
                cr_assert((runs >> at & 1) == has_run(mask, at, count), "%zu at %zu", count, at);
        }
    }
}

#endif
