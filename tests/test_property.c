/* SPDX-License-Identifier: MIT */
/*
 * What exact first fit alone promises: a larger pool places the same calls at the same offsets,
 * so that the high-water mark of one run is the smallest pool in which it succeeds.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "twin.h"
#include "unit.h"

#define SLOTS   300
#define CALLS   4000
#define GRANULE 16

/* A run of random calls in a pool of `granules`: its offsets' hash, its mark, its failures. */
struct run {
    uint64_t hash;
    size_t high_water_size;
    size_t failed_count;
};

static void random_call(struct ffalloc_pool *pool, void **slot, uint64_t *state)
{
    uint64_t draw = twin_random(state);
    size_t size = twin_random(state) % ((size_t)1 << (4 + draw % 9));
    if (!*slot) {
        *slot = draw % 7 ? ffalloc_malloc(pool, size) : ffalloc_aligned_alloc(pool, 64, size);
    } else if (draw % 5 == 0) {
        void *moved = ffalloc_realloc(pool, *slot, size);
        *slot = moved ? moved : *slot;
    } else {
        ffalloc_free(pool, *slot);
        *slot = NULL;
    }
}

/* The metadata's size varies with the pool's, so the pool is placed where its blocks begin at
 * the same remainder of every alignment used. */
static struct run run_in(size_t granules, uint64_t seed)
{
    size_t size = ffalloc_pool_size_for(granules, GRANULE);
    size_t skip = 4096 - ffalloc_metadata_size(size, GRANULE) % 4096;
    unsigned char *memory = aligned_alloc(4096, (skip + size + 4095) / 4096 * 4096);
    struct ffalloc_config config = {.granule = GRANULE};
    struct ffalloc_pool *pool = ffalloc_init_with(memory + skip, size, &config);
    unsigned char *blocks = memory + skip + ffalloc_metadata_size(size, GRANULE);
    cr_assert(pool && ffalloc_owns(pool, blocks) && !ffalloc_owns(pool, blocks - 1));

    void *slots[SLOTS] = {NULL};
    struct run run = {0};
    uint64_t state = seed;
    for (size_t call = 0; call < CALLS; call++) {
        void **slot = &slots[twin_random(&state) % SLOTS];
        random_call(pool, slot, &state);
        uint64_t offset = *slot ? (uint64_t)((unsigned char *)*slot - blocks) : UINT64_MAX;
        run.hash = (run.hash ^ offset) * 0x100000001b3u;
    }
    struct ffalloc_stats stats;
    ffalloc_stats(pool, &stats);
    run.high_water_size = stats.high_water_size;
    run.failed_count = stats.failed_count;
    free(memory);
    return run;
}

Test(property, a_larger_pool_places_the_same_calls_at_the_same_offsets)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run small = run_in(20000, seed);
        struct run large = run_in(31337, seed);
        cr_assert(small.failed_count == 0, "seed %" PRIu64 " fills the small pool", seed);
        cr_assert(small.hash == large.hash, "seed %" PRIu64, seed);
        cr_assert(small.high_water_size == large.high_water_size, "seed %" PRIu64, seed);
    }
}

Test(property, the_high_water_mark_is_the_least_pool)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct run roomy = run_in(20000, seed);
        size_t least = roomy.high_water_size / GRANULE;
        struct run exact = run_in(least, seed);
        struct run short_of_one = run_in(least - 1, seed);
        cr_assert(exact.failed_count == 0 && exact.hash == roomy.hash, "seed %" PRIu64, seed);
        cr_assert(short_of_one.failed_count > 0, "seed %" PRIu64, seed);
    }
}

Test(property, pool_size_for_is_the_least_memory_for_so_many_granules)
{
    static _Alignas(64) unsigned char memory[1 << 18];
    for (size_t granule = 8; granule <= 64; granule *= 2) {
        struct ffalloc_config config = {.granule = granule};
        for (size_t granules = 1; granules < 3000; granules = granules * 9 / 8 + 1) {
            size_t size = ffalloc_pool_size_for(granules, granule);
            struct ffalloc_stats stats;
            struct ffalloc_pool *pool = ffalloc_init_with(memory, size, &config);
            cr_assert(pool, "%zu granules of %zu in %zu bytes", granules, granule, size);
            ffalloc_stats(pool, &stats);
            cr_assert(stats.usable_size == granules * granule);
            pool = ffalloc_init_with(memory, size - 1, &config);
            if (pool)
                ffalloc_stats(pool, &stats);
            cr_assert(!pool || stats.usable_size == (granules - 1) * granule);
            cr_assert(pool || granules == 1);
        }
    }
}

#if !FFALLOC_SMALL

Test(property, a_granule_of_0_is_the_default_of_the_machine_asked_for)
{
    for (size_t size = 1000; size < 100000; size = size * 3 / 2) {
        size_t granules = ffalloc_target_granules(32, size, 8);
        cr_assert(granules > 0 && ffalloc_target_granules(32, size, 0) == granules);
        cr_assert(ffalloc_target_granules(64, size, 0) == ffalloc_target_granules(64, size, 16));
        cr_assert(ffalloc_target_pool_size_for(32, granules, 0) <= size);
    }
    cr_assert(ffalloc_target_granules(16, 1000, 0) == 0);
}

#endif

Test(property, pool_size_for_refuses_what_cannot_be)
{
    cr_assert(ffalloc_pool_size_for(0, 16) == 0);
    cr_assert(ffalloc_pool_size_for(10, 24) == 0);
    cr_assert(ffalloc_pool_size_for(10, 4) == 0);
    cr_assert(ffalloc_pool_size_for(10, 8192) == 0);
    cr_assert(ffalloc_pool_size_for(SIZE_MAX / 16, 16) == 0);
    cr_assert(ffalloc_metadata_size(64, 16) == 0);
}
