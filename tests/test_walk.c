/* SPDX-License-Identifier: MIT */
/* Looking at a pool: what lies at an address, the walks, the statistics. */
#include <stdint.h>

#include "ffalloc/ffalloc.h"
#include "sound.h"
#include "unit.h"

static _Alignas(4096) unsigned char memory[1 << 16];

static struct ffalloc_pool *fresh_pool(size_t size)
{
    return ffalloc_init_with(memory, size, &(struct ffalloc_config){.granule = 16});
}

Test(find, names_the_block_or_hole_around_an_address)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    unsigned char *first = ffalloc_malloc(pool, 20000);
    unsigned char *second = ffalloc_malloc(pool, 20);
    struct ffalloc_block block;
    cr_assert(ffalloc_find(pool, first + 10001, &block));
    cr_assert(block.address == first && block.size == 20000 && block.is_used);
    cr_assert(ffalloc_find(pool, second + 31, &block) && block.address == second);
    cr_assert(ffalloc_find(pool, second + 9999, &block) && !block.is_used);
    cr_assert(block.address == second + 32);
    cr_assert(!ffalloc_find(pool, memory, &block));
}

Test(find, names_each_of_many_blocks_in_a_leaf)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    struct ffalloc_block found;
    for (size_t i = 0; i < 100; i++) {
        unsigned char *block = ffalloc_malloc(pool, 17);
        cr_assert(ffalloc_find(pool, block + 16, &found) && found.address == block);
        cr_assert(found.size == 32 && found.is_used);
    }
}

Test(marks, are_those_of_the_statistics)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    ffalloc_free(pool, ffalloc_malloc(pool, 1000));
    unsigned char *block = ffalloc_malloc(pool, 100);
    struct ffalloc_stats stats = stats_of(pool);
    struct ffalloc_marks marks;
    ffalloc_marks(pool, &marks);
    cr_assert(marks.blocks == block && marks.usable_size == stats.usable_size);
    cr_assert(marks.used_size == 112 && marks.high_water_size == 1008);
    cr_assert(marks.least_free_size == stats.least_free_size);
}

/* Whatever is inside a long block or hole, and was there before: each place names the whole. */
Test(find, names_a_long_block_or_hole_from_any_place_inside)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    struct ffalloc_block found;
    unsigned char *small[40];
    for (size_t i = 0; i < 40; i++)
        small[i] = ffalloc_malloc(pool, 1000);
    for (size_t i = 0; i < 40; i++)
        ffalloc_free(pool, small[i]);
    unsigned char *block = ffalloc_malloc(pool, 36000);
    unsigned char *after = ffalloc_malloc(pool, 16);
    for (size_t offset = 0; offset < 36000; offset += 16)
        cr_assert(ffalloc_find(pool, block + offset, &found) && found.address == block &&
                      found.size == 36000 && found.is_used,
                  "%zu", offset);
    ffalloc_free(pool, block);
    for (size_t offset = 0; offset < 36000; offset += 16)
        cr_assert(ffalloc_find(pool, block + offset, &found) && found.address == block &&
                      found.size == 36000 && !found.is_used,
                  "%zu", offset);
    ffalloc_free(pool, after);
}

struct seen {
    size_t count;
    size_t size;
    size_t limit;
    void *last;
};

static bool see(void *context, const struct ffalloc_block *block)
{
    struct seen *seen = context;
    cr_assert(block->address > seen->last, "not in address order");
    seen->last = block->address;
    seen->size += block->size;
    return ++seen->count < seen->limit;
}

Test(walk, visits_everything_in_address_order_until_told_to_stop)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    void *blocks[9];
    for (size_t i = 0; i < 9; i++)
        blocks[i] = ffalloc_malloc(pool, 16 << i);
    for (size_t i = 0; i < 9; i += 2)
        ffalloc_free(pool, blocks[i]);
    struct seen seen = {.limit = 100};
    ffalloc_walk(pool, see, &seen);
    cr_assert(seen.count == 9 && seen.size == stats_of(pool).usable_size, "%zu", seen.count);
    seen = (struct seen){.limit = 3};
    ffalloc_walk(pool, see, &seen);
    cr_assert(seen.count == 3);
    seen = (struct seen){.limit = 100};
    ffalloc_walk_holes(pool, 256, see, &seen);
    cr_assert(seen.count == 3, "%zu holes", seen.count);
    seen = (struct seen){.limit = 1};
    ffalloc_walk_holes(pool, 1, see, &seen);
    cr_assert(seen.count == 1 && seen.size == 16);
}

Test(stats, count_and_mark_what_happened)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    void *first = ffalloc_malloc(pool, 100);
    void *second = ffalloc_malloc(pool, 30);
    ffalloc_free(pool, second);
    ffalloc_malloc(pool, SIZE_MAX);
    struct ffalloc_stats stats = stats_of(pool);
    cr_assert(stats.alloc_count == 2 && stats.free_count == 1 && stats.failed_count == 1);
    cr_assert(stats.used_size == 112 && stats.peak_used_size == 144);
    cr_assert(stats.slack_total_size == 14 && stats.high_water_size == 144);
    cr_assert(stats.least_free_size == stats.usable_size - 144);
    ffalloc_reset_marks(pool);
    stats = stats_of(pool);
    cr_assert(stats.peak_used_size == 112 && stats.high_water_size == 112);
    cr_assert(stats.largest_request_size == 0 && stats.least_free_size == stats.free_size);
    ffalloc_free(pool, first);
    ffalloc_reset_marks(pool);
    cr_assert(stats_of(pool).high_water_size == 0 && stats_of(pool).peak_used_size == 0);
}
