/* SPDX-License-Identifier: MIT */
/* The core compiled with every choice of choices.h taken. */
#include "ffalloc/ffalloc.h"
#include "unit.h"

unsigned alloc_traces, free_traces, resize_traces, fail_traces, assert_count;
const void *last_block;
size_t last_size;

static _Alignas(64) unsigned char memory[8192];

Test(choices, each_does_what_it_says)
{
    struct ffalloc_stats stats;
    struct ffalloc_pool *pool = ffalloc_init(memory, sizeof memory);
    char *one = ffalloc_malloc(pool, 10);
    cr_assert(alloc_traces == 1 && last_block == one && last_size == 10);
    char *two = ffalloc_aligned_alloc(pool, 256, 500);
    cr_assert(alloc_traces == 2 && last_block == two && last_size == 500);
    cr_assert(ffalloc_realloc(pool, two, 100) == two);
    cr_assert(resize_traces == 1 && last_block == two && last_size == 100);
    char *three = ffalloc_calloc(pool, 3, 7);
    cr_assert(alloc_traces == 3 && last_block == three);
    ffalloc_free(pool, one);
    cr_assert(free_traces == 1 && last_block == one);
    cr_assert(!ffalloc_malloc(pool, 9000) && fail_traces == 1 && last_size == 9000);
    cr_assert(assert_count == 0);
    ffalloc_free(pool, one);
    ffalloc_free(pool, &stats);
    cr_assert(assert_count == 2 && free_traces == 1);
    ffalloc_stats(pool, &stats);
    cr_assert(stats.granule == 32 && stats.block_count == 2 && stats.used_size == 128 + 32);
    cr_assert(stats.high_water_size >= stats.used_size && stats.failed_count == 1);
    cr_assert(stats.peak_used_size == 0 && stats.least_free_size == 0);
    cr_assert(stats.largest_request_size == 0 && stats.slack_total_size == 0);
    cr_assert(ffalloc_check(pool, NULL));
}
