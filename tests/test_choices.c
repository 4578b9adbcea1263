/* SPDX-License-Identifier: MIT */
/* The core compiled with every choice of choices.h taken. */
#include "ffalloc/ffalloc.h"
#include "unit.h"

unsigned alloc_traces, free_traces, resize_traces, fail_traces, assert_count;
const void *last_block;
size_t last_size, large_freed_size;

static _Alignas(64) unsigned char memory[8192];

Test(choices, each_does_what_it_says)
{
    struct ffalloc_stats stats;
    alloc_traces = free_traces = resize_traces = 0;
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

/* Bytes of a block that has a leaf of its own wherever it begins, at granule 32. */
#define LARGE_SIZE (2 * 32 * sizeof(size_t) * 8)
#define SLOTS      150

static _Alignas(64) unsigned char large_memory[4 << 20];
static unsigned char *slots[SLOTS];

/* Frees a block, or makes it smaller: if so much goes back that it is large, that is told; if less,
 * it may be. */
static void give(struct ffalloc_pool *pool, unsigned slot, size_t rest)
{
    size_t before = ffalloc_usable_size(pool, slots[slot]);
    large_freed_size = 0;
    if (rest == 0) {
        ffalloc_free(pool, slots[slot]);
        slots[slot] = NULL;
    } else {
        cr_assert(ffalloc_resize(pool, slots[slot], rest));
        before -= ffalloc_usable_size(pool, slots[slot]);
    }
    cr_assert(large_freed_size == before || (large_freed_size == 0 && before < LARGE_SIZE));
}

Test(choices, each_large_block_that_is_freed_is_told)
{
    struct ffalloc_pool *pool = ffalloc_init(large_memory, sizeof large_memory);
    unsigned seed = 1;
    for (unsigned i = 0; i < 100000; i++) {
        seed = seed * 1664525 + 1013904223;
        unsigned slot = (seed >> 8) % SLOTS;
        size_t size = seed >> 16 & (seed & 1 << 24 ? 0x7fff : 0x7ff);
        if (slots[slot])
            give(pool, slot, seed >> 30 ? 0 : 1 + ffalloc_usable_size(pool, slots[slot]) / 3);
        else
            slots[slot] = ffalloc_malloc(pool, size);
    }
    cr_assert(ffalloc_check(pool, NULL));
}
