/* SPDX-License-Identifier: MIT */
/* The cases every first-fit allocator is first tried with, in units of one granule. */
#include <stdint.h>

#include "sound.h"
#include "twin.h"
#include "unit.h"

#define UNIT 16

static _Alignas(UNIT) unsigned char memory[8192];

/* A pool of exactly `count` units. */
static struct ffalloc_pool *units(size_t count)
{
    size_t size = ffalloc_pool_size_for(count, UNIT);
    cr_assert(size > 0 && size <= sizeof memory, "%zu units take %zu bytes", count, size);
    struct ffalloc_config config = {.granule = UNIT};
    return ffalloc_init_with(memory, size, &config);
}

static void *take(struct ffalloc_pool *pool, size_t count)
{
    return ffalloc_malloc(pool, count * UNIT);
}

static size_t unit_of(void *first, void *block)
{
    return (size_t)((char *)block - (char *)first) / UNIT;
}

Test(seed, twenty_then_thirty_of_a_hundred_units)
{
    struct ffalloc_pool *pool = units(100);
    char *first = take(pool, 20);
    char *second = take(pool, 30);
    cr_assert(first && second == first + 20 * UNIT);
    struct ffalloc_stats stats = stats_of(pool);
    cr_assert(stats.usable_size == 100 * UNIT, "%zu", stats.usable_size);
    cr_assert(stats.used_size == 50 * UNIT && stats.free_size == 50 * UNIT);
    cr_assert(stats.hole_count == 1 && stats.block_count == 2);
}

Test(seed, freeing_the_first_leaves_a_hole_before_the_second)
{
    struct ffalloc_pool *pool = units(100);
    void *first = take(pool, 20);
    take(pool, 30);
    ffalloc_free(pool, first);
    struct ffalloc_stats stats = stats_of(pool);
    cr_assert(stats.hole_count == 2);
    cr_assert(stats.smallest_hole_size == 20 * UNIT && stats.largest_hole_size == 50 * UNIT);
}

Test(seed, freeing_the_second_merges_all_three_free_pieces)
{
    struct ffalloc_pool *pool = units(100);
    void *first = take(pool, 20);
    void *second = take(pool, 30);
    ffalloc_free(pool, first);
    ffalloc_free(pool, second);
    struct ffalloc_stats stats = stats_of(pool);
    cr_assert(stats.hole_count == 1 && stats.largest_hole_size == 100 * UNIT);
    cr_assert(take(pool, 100) == first);
}

Test(seed, a_request_fails_though_the_holes_together_would_do)
{
    struct ffalloc_pool *pool = units(100);
    void *first = take(pool, 40);
    take(pool, 20);
    ffalloc_free(pool, first);
    cr_assert(stats_of(pool).free_size == 80 * UNIT);
    cr_assert(take(pool, 41) == NULL);
    struct ffalloc_stats stats = stats_of(pool);
    cr_assert(stats.failed_count == 1 && stats.largest_request_size == 41 * UNIT);
    cr_assert(take(pool, 40) == first);
}

Test(seed, an_exact_fit_leaves_no_remainder)
{
    struct ffalloc_pool *pool = units(100);
    void *first = take(pool, 7);
    take(pool, 3);
    ffalloc_free(pool, first);
    cr_assert(take(pool, 7) == first);
    cr_assert(stats_of(pool).hole_count == 1);
}

Test(seed, a_small_remainder_stays_usable)
{
    struct ffalloc_pool *pool = units(100);
    char *first = take(pool, 8);
    take(pool, 3);
    ffalloc_free(pool, first);
    cr_assert(take(pool, 7) == first);
    cr_assert(stats_of(pool).smallest_hole_size == UNIT);
    cr_assert(take(pool, 1) == first + 7 * UNIT);
}

static enum ffalloc_error told;
static unsigned told_count;

static void tell(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    (void)pool;
    (void)address;
    told = kind;
    told_count++;
}

Test(seed, a_double_free_is_told_and_changes_nothing)
{
    struct ffalloc_config config = {.granule = UNIT, .on_error = tell};
    struct ffalloc_pool *pool = ffalloc_init_with(memory, sizeof memory, &config);
    void *first = take(pool, 5);
    take(pool, 5);
    ffalloc_free(pool, first);
    struct ffalloc_stats before = stats_of(pool);
    told_count = 0;
    ffalloc_free(pool, first);
    cr_assert(told_count == 1 && told == FFALLOC_DOUBLE_FREE);
    struct ffalloc_stats after = stats_of(pool);
    cr_assert(before.free_size == after.free_size && before.free_count == after.free_count);
}

Test(seed, a_size_of_zero_is_a_block_of_its_own)
{
    struct ffalloc_pool *pool = units(100);
    char *first = ffalloc_malloc(pool, 0);
    char *second = ffalloc_malloc(pool, 0);
    cr_assert(first && second == first + UNIT);
    cr_assert(ffalloc_usable_size(pool, first) == UNIT);
    ffalloc_free(pool, first);
    cr_assert(stats_of(pool).block_count == 1);
}

Test(seed, a_pool_of_1024_bytes_serves)
{
    struct ffalloc_pool *pool = ffalloc_init(memory, 1024);
    struct ffalloc_stats stats = stats_of(pool);
    size_t promised = sizeof(void *) == 8 ? 816 : 880;
    cr_assert(stats.usable_size >= promised, "%zu bytes are usable", stats.usable_size);
    void *all = ffalloc_malloc(pool, stats.usable_size);
    cr_assert(all && ffalloc_malloc(pool, 1) == NULL);
    ffalloc_free(pool, all);
    cr_assert(stats_of(pool).largest_hole_size == stats.usable_size);
}

Test(seed, repeated_allocation_and_freeing_fragments_as_the_model_says)
{
    struct twin twin;
    cr_assert(twin_init(&twin, sizeof memory, UNIT, 0, 400));
    for (size_t round = 0; round < 40; round++) {
        for (size_t slot = round % 3; slot < 300; slot += 3)
            if (!twin.slots[slot].block)
                cr_assert(twin_alloc(&twin, slot, 1 + (slot * 7 + round * 5) % 90, 0), "%s",
                          twin.fault);
        for (size_t slot = round % 2; slot < 300; slot += 2)
            if (twin.slots[slot].block)
                cr_assert(twin_free(&twin, slot), "%s", twin.fault);
        cr_assert(twin_check(&twin), "%s", twin.fault);
    }
    cr_assert(twin.model.block_count > 2, "nothing was fragmented");
    for (size_t slot = 0; slot < 300; slot++)
        if (twin.slots[slot].block)
            cr_assert(twin_free(&twin, slot), "%s", twin.fault);
    cr_assert(unit_of(twin.blocks, take(twin.pool, 1)) == 0);
    twin_destroy(&twin);
}
