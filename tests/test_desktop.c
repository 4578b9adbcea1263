/* SPDX-License-Identifier: MIT */
/* What needs more memory than a device has, or a clock: generous limits, where a search would be
 * far beyond. */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "sound.h"
#include "twin.h"
#include "unit.h"

#define GRANULE 16
#define SPARE   10000

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The least time that a request of `count` + 1 granules takes, and the free of it, where `holes`
 * holes of `count` granules lie before the first that will do. */
static double least_ns_past(size_t holes, size_t count)
{
    size_t size = ffalloc_pool_size_for(holes * (count + 1) + SPARE, GRANULE);
    unsigned char *memory = malloc(size);
    struct ffalloc_config config = {.granule = GRANULE};
    struct ffalloc_pool *pool = ffalloc_init_with(memory, size, &config);
    void **blocks = malloc(holes * sizeof *blocks);
    for (size_t i = 0; i < holes; i++) {
        blocks[i] = ffalloc_malloc(pool, count * GRANULE);
        cr_assert(ffalloc_malloc(pool, GRANULE));
    }
    for (size_t i = 0; i < holes; i++)
        ffalloc_free(pool, blocks[(i * 7919) % holes]);
    double least = 1e300;
    for (unsigned round = 0; round < 200; round++) {
        double start = now_ns();
        void *block = ffalloc_malloc(pool, (count + 1) * GRANULE);
        ffalloc_free(pool, block);
        /* A small block freed at the bottom sends every hint back there. */
        void *low = ffalloc_malloc(pool, GRANULE);
        ffalloc_free(pool, low);
        double taken = now_ns() - start;
        cr_assert(block && low);
        least = taken < least ? taken : least;
    }
    free(blocks);
    free(memory);
    return least;
}

/* A search of all holes would take a thousand times as long past a thousand times as many. */
Test(desktop, a_hundred_thousand_holes_too_small_make_no_call_slow)
{
    static const size_t counts[] = {1, 2, 3, 8, 20, 63, 64, 254, 255, 256, 400};
    const char *shorten = getenv("FFALLOC_SHORTEN");
    size_t many = 100000 / (shorten ? strtoull(shorten, NULL, 0) : 1);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t holes = counts[i] > 100 && many > 20000 ? 20000 : many;
        if (holes > (MOST_GRANULES - SPARE) / (counts[i] + 1))
            holes = (MOST_GRANULES - SPARE) / (counts[i] + 1);
        double few_ns = least_ns_past(100, counts[i]);
        double many_ns = least_ns_past(holes, counts[i]);
        cr_assert(many_ns < 12 * few_ns + 1000,
                  "%zu granules: %.0f ns past 100 holes, %.0f past %zu", counts[i], few_ns, many_ns,
                  holes);
    }
}

/* Many large holes, freed and taken in an order that reaches every branch of their tree. */
Test(desktop, large_holes_are_found_by_their_exact_size)
{
    const char *text = getenv("FFALLOC_SHORTEN");
    size_t shorten = text ? strtoull(text, NULL, 0) : 1;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct twin twin;
        size_t slots = 1200;
        uint64_t state = seed * 99991;
        cr_assert(twin_init(&twin, 64 << 20, 16, 0, slots));
        for (size_t call = 0; call < 30000 / shorten; call++) {
            size_t slot = twin_random(&state) % slots;
            bool is_same = twin.slots[slot].block
                               ? twin_free(&twin, slot)
                               : twin_alloc(&twin, slot, 3000 + twin_random(&state) % 60000,
                                            slot % 16 ? 0 : 4096);
            cr_assert(is_same, "seed %" PRIu64 ": %s", seed, twin.fault);
            if (call % 512 == 0)
                cr_assert(twin_check(&twin), "seed %" PRIu64 ": %s", seed, twin.fault);
        }
        twin_destroy(&twin);
    }
}

static enum ffalloc_error told;

static void tell(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    (void)pool, (void)address;
    told = kind;
}

/* Looks at many places between two addresses: all are inside one block, or hole. */
static void look_inside(struct ffalloc_pool *pool, unsigned char *first, unsigned char *end,
                        bool is_used)
{
    struct ffalloc_block found;
    size_t step = ((size_t)(end - first) / 10000 / GRANULE + 1) * GRANULE;
    for (unsigned char *at = first + step; at < end - step; at += step) {
        cr_assert(ffalloc_find(pool, at, &found) && found.address == first &&
                  found.is_used == is_used);
        ffalloc_free(pool, at);
        cr_assert(told == (is_used ? FFALLOC_NOT_A_BLOCK : FFALLOC_DOUBLE_FREE));
    }
}

/* A step for each leaf of the block would be half a minute in all. */
Test(desktop, a_place_inside_a_long_block_or_hole_is_told_in_a_few_steps)
{
    size_t size = (size_t)(SIZE_MAX > UINT32_MAX ? 3 : 1) << 30;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert(memory != MAP_FAILED);
    struct ffalloc_config config = {.granule = GRANULE, .on_error = tell, .is_zeroed = true};
    struct ffalloc_pool *pool = ffalloc_init_with(memory, size, &config);
    struct ffalloc_stats stats;
    ffalloc_stats(pool, &stats);
    unsigned char *end = (unsigned char *)ffalloc_malloc(pool, 1) + stats.usable_size;
    unsigned char *hole = ffalloc_malloc(pool, 100 * GRANULE);
    cr_assert(ffalloc_malloc(pool, 1000 * GRANULE));
    double start = now_ns();
    ffalloc_free(pool, hole);
    /* All that is left, before the index has a hole far up; then most of it. */
    size_t all = (size_t)(end - hole) - 1100 * GRANULE;
    size_t most = all / 8 / GRANULE * 7 * GRANULE;
    unsigned char *block = ffalloc_malloc(pool, all);
    cr_assert(block == end - all);
    look_inside(pool, block, end, true);
    ffalloc_free(pool, block);
    look_inside(pool, block, end, false);
    cr_assert(ffalloc_malloc(pool, most) == block);
    look_inside(pool, block, block + most, true);
    look_inside(pool, block + most, end, false);
    cr_assert(now_ns() - start < 3e9, "%.0f ms", (now_ns() - start) / 1e6);
    munmap(memory, size);
}

#if SIZE_MAX > UINT32_MAX

#define GIB ((size_t)1 << 30)

/* Of more granules than a page's word counts (large.h). */
Test(desktop, holes_of_gigabytes_are_found_by_their_exact_size)
{
    static const size_t sizes[] = {5, 7, 6, 8, 17, 9};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    size_t size = 54 * GIB;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert(memory != MAP_FAILED);
    struct ffalloc_config config = {.granule = GRANULE, .is_zeroed = true};
    struct ffalloc_pool *pool = ffalloc_init_with(memory, size, &config);
    void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = ffalloc_malloc(pool, sizes[i] * GIB);
        cr_assert(blocks[i] && ffalloc_malloc(pool, 1));
    }
    cr_assert(ffalloc_malloc(pool, stats_of(pool).largest_hole_size));
    for (size_t i = 0; i < COUNT; i++)
        ffalloc_free(pool, blocks[i]);
    for (size_t more_than = 4; more_than < 17; more_than++) {
        size_t lowest = 0;
        while (sizes[lowest] <= more_than)
            lowest++;
        void *block = ffalloc_malloc(pool, more_than * GIB + 1);
        cr_assert(block == blocks[lowest], "more than %zu GiB", more_than);
        ffalloc_free(pool, block);
    }
    cr_assert(!ffalloc_malloc(pool, 17 * GIB + 1));
    munmap(memory, size);
}

#endif
