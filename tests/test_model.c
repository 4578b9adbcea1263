/* SPDX-License-Identifier: MIT */
/*
 * The core against the naive model. FFALLOC_SEED and FFALLOC_ROUNDS repeat or lengthen a run;
 * FFALLOC_SHORTEN divides the number of calls, for slow tools.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "twin.h"
#include "unit.h"

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value ? strtoull(value, NULL, 0) : otherwise;
}

struct shape {
    size_t size; /* of the pool, bytes */
    size_t slots;
    size_t calls;
    size_t check_every;
};

static void run_shape(const struct shape *shape)
{
    uint64_t first = from_environment("FFALLOC_SEED", 1);
    uint64_t rounds = from_environment("FFALLOC_ROUNDS", 3);
    size_t calls = shape->calls / from_environment("FFALLOC_SHORTEN", 1);
    for (uint64_t seed = first; seed < first + rounds; seed++) {
        for (size_t granule = 8; granule <= 32; granule *= 2) {
            struct twin twin;
            size_t misalignment = seed % 3 == 2 ? seed * 7 % 61 : 0;
            if (!twin_init(&twin, shape->size, granule, misalignment, shape->slots))
                continue;
            bool is_same = twin_run(&twin, seed + granule, calls, shape->check_every);
            if (!is_same && twin.model.block_count < 500)
                model_print(&twin.model);
            cr_assert(is_same, "FFALLOC_SEED=%" PRIu64 " size %zu granule %zu: %s", seed,
                      shape->size, granule, twin.fault);
            twin_destroy(&twin);
        }
    }
}

Test(model, a_pool_of_a_few_hundred_bytes_places_as_the_model)
{
    for (size_t size = 200; size < 1000; size += 72)
        run_shape(&(struct shape){size, 12, 4000, 1});
}

Test(model, a_pool_of_a_page_places_as_the_model)
{
    run_shape(&(struct shape){4096, 60, 30000, 1});
}

Test(model, a_pool_of_64_kib_places_as_the_model)
{
    run_shape(&(struct shape){65536, 700, 60000, 64});
}

Test(model, a_pool_of_a_mebibyte_places_as_the_model)
{
    run_shape(&(struct shape){1 << 20, 4000, 60000, 1024});
}

Test(model, a_pool_of_64_mib_places_as_the_model)
{
    run_shape(&(struct shape){64 << 20, 20000, 60000, 16384});
}

/* Many holes, each one granule too small: in the same leaf size, just saturated, and large. */
Test(model, holes_one_granule_too_small_are_all_passed_over)
{
    static const size_t counts[] = {1,  2,  3,   8,   9,   31,  32,  33, 63,
                                    64, 65, 127, 254, 255, 256, 300, 700};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct twin twin;
        size_t spare = 1 << 14;
        size_t most_slots = (MOST_GRANULES - spare) / counts[i];
        size_t slots = most_slots < 2000 ? most_slots : 2000;
        cr_assert(twin_init(&twin, (counts[i] * slots + spare) * 16, 16, 0, slots + 8));
        for (size_t slot = 0; slot < slots; slot++)
            cr_assert(twin_alloc(&twin, slot, (slot % 2 ? 1 : counts[i]) * 16, 0), "%s",
                      twin.fault);
        for (size_t slot = 0; slot < slots; slot += 2)
            cr_assert(twin_free(&twin, slot), "%s", twin.fault);
        cr_assert(twin_check(&twin), "%s", twin.fault);
        for (size_t extra = 0; extra < 4; extra++)
            cr_assert(twin_alloc(&twin, slots + extra, (counts[i] + 1) * 16, 0), "%s", twin.fault);
        for (size_t slot = 0; slot < slots; slot += 4)
            cr_assert(twin_alloc(&twin, slot, counts[i] * 16, 0), "%s", twin.fault);
        cr_assert(twin_check(&twin), "%s", twin.fault);
        twin_destroy(&twin);
    }
}

/* Aligned requests where nearly every hole is misaligned: all three steps of the rule. */
Test(model, aligned_requests_among_misaligned_holes_follow_the_rule)
{
    static const size_t alignments[] = {32, 64, 256, 1024, 4096};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        struct twin twin;
        size_t slots = 3000;
        cr_assert(twin_init(&twin, 1 << 20, 16, 48, slots));
        for (size_t slot = 0; slot < slots && slot * 21 * 16 < 1 << 20; slot++)
            cr_assert(twin_alloc(&twin, slot, slot % 2 ? 16 : 20 * 16, 0), "%s", twin.fault);
        for (size_t slot = 0; slot < slots; slot += 2)
            if (twin.slots[slot].block)
                cr_assert(twin_free(&twin, slot), "%s", twin.fault);
        for (size_t slot = 0; slot < slots; slot += 2)
            cr_assert(twin_alloc(&twin, slot, 16 * (1 + slot % 20), alignments[i]), "%s",
                      twin.fault);
        cr_assert(twin_check(&twin), "%s", twin.fault);
        cr_assert(twin.model.high_water > 0);
        twin_destroy(&twin);
    }
}

/* A large hole at the end of the last page that will not do: the search for the next has to end. */
struct step {
    size_t size;
    size_t alignment; /* 0: none; 1: frees the block of step `size` */
};

static void run_steps(size_t pool_size, size_t misalignment, const struct step *steps, size_t count)
{
    struct twin twin;
    cr_assert(twin_init(&twin, pool_size, 8, misalignment, count));
    for (size_t i = 0; i < count; i++) {
        if (steps[i].alignment == 1)
            cr_assert(twin_free(&twin, steps[i].size), "%s", twin.fault);
        else
            cr_assert(twin_alloc(&twin, i, steps[i].size, steps[i].alignment), "%zu: %s", i,
                      twin.fault);
        cr_assert(twin_check(&twin), "%s", twin.fault);
    }
    twin_destroy(&twin);
}

Test(model, a_search_over_pages_ends_with_the_last_one)
{
    static const struct step in_64_bits[] = {{1024, 0},     {0, 1},         {4608, 2048},
                                             {8960, 16384}, {18432, 16384}, {2048, 32768}};
    static const struct step in_32_bits[] = {
        {13824, 0}, {18944, 0}, {1024, 0}, {1, 1}, {17920, 2048}};
    for (size_t misalignment = 0; misalignment < TWIN_ALIGNMENT; misalignment += 4096) {
        run_steps(53248, misalignment, in_64_bits, sizeof in_64_bits / sizeof *in_64_bits);
        run_steps(35946, misalignment, in_32_bits, sizeof in_32_bits / sizeof *in_32_bits);
    }
}

/* A pool of `granules` that ends in holes of `hole` granules, a used one after each, `tail` after
 * the last. Asks for so much of a hole, aligned, that most often all are passed over. */
static void search_the_last_holes(size_t granules, size_t hole, size_t tail)
{
    enum { HOLES = 20, SLOTS = 2 * HOLES + 2 };
    struct twin twin;
    size_t count = (granules - tail) / (hole + 1);
    count = count < HOLES ? count : HOLES;
    size_t front = granules + 1 - tail - count * (hole + 1);
    cr_assert(twin_init(&twin, ffalloc_pool_size_for(granules, 8), 8, 0, SLOTS));
    cr_assert(front == 0 || twin_alloc(&twin, 2 * HOLES, front * 8, 0), "%s", twin.fault);
    for (size_t i = 0; i < count; i++) {
        cr_assert(twin_alloc(&twin, 2 * i, hole * 8, 0), "%s", twin.fault);
        cr_assert(twin_alloc(&twin, 2 * i + 1, (i + 1 < count ? 1 : tail) * 8, 0), "%s",
                  twin.fault);
    }
    for (size_t i = 0; i < count; i++)
        cr_assert(twin_free(&twin, 2 * i), "%s", twin.fault);
    for (size_t alignment = 16; alignment <= TWIN_ALIGNMENT; alignment *= 2) {
        size_t slot = 2 * HOLES + 1;
        cr_assert(twin_alloc(&twin, slot, hole * 8, alignment),
                  "%zu, holes of %zu, %zu at the end: %s", granules, hole, tail, twin.fault);
        if (twin.slots[slot].block)
            cr_assert(twin_free(&twin, slot), "%s", twin.fault);
    }
    cr_assert(twin_check(&twin), "%s", twin.fault);
    twin_destroy(&twin);
}

/* What lies behind an index's last node may look like more of it. */
Test(model, a_search_that_passes_the_last_hole_over_ends)
{
    static const size_t steps[] = {32, 64, 256, 512, 1024, 2048, 4096, 16384};
    static const size_t holes[] = {1, 5, 31, 32, 63, 64, 255, 256, 257, 301};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        for (size_t k = 0; k < sizeof holes / sizeof *holes; k++)
            for (size_t tail = 1; tail < 4; tail++)
                for (size_t more = 0; more <= tail; more++)
                    for (size_t granules = steps[i]; granules <= 4 * steps[i]; granules += steps[i])
                        if (holes[k] + tail < granules && granules + more < MOST_GRANULES)
                            search_the_last_holes(granules + more, holes[k], tail);
}

/* Granules of a pool whose leaves are about as many as fill `nodes` nodes of the index, or of the
 * pages of 256 granules. */
static size_t granules_at_an_edge(uint64_t *state)
{
    static const size_t steps[] = {64, 256, 1024, 2048, 8192};
    size_t step = steps[twin_random(state) % 5];
    size_t count = step * (1 + twin_random(state) % (60000 / step));
    return count + twin_random(state) % 5 - 2;
}

/* Few and large blocks, many of them aligned to more than a page. */
Test(model, pools_at_the_edges_of_nodes_place_as_the_model)
{
    uint64_t first = from_environment("FFALLOC_SEED", 1);
    uint64_t last = first + 50 * from_environment("FFALLOC_ROUNDS", 3);
    size_t calls = 3000 / from_environment("FFALLOC_SHORTEN", 1);
    for (uint64_t seed = first; seed < last; seed++) {
        struct twin twin;
        uint64_t state = seed * 77777;
        size_t granule = (size_t)8 << twin_random(&state) % 2;
        size_t size = ffalloc_pool_size_for(granules_at_an_edge(&state), granule);
        size_t misalignment = twin_random(&state) % 4096 * granule;
        size_t slots = 30 + twin_random(&state) % 100;
        cr_assert(twin_init(&twin, size, granule, misalignment, slots));
        cr_assert(twin_run(&twin, seed, calls, 100), "FFALLOC_SEED=%" PRIu64 " size %zu: %s", seed,
                  size, twin.fault);
        twin_destroy(&twin);
    }
}

/* After each of some random calls: what lies at a byte, what is told of a pointer to it, and now
 * and then the marks anew. */
static void look_around(struct twin *twin, uint64_t *state)
{
    size_t end = (twin->model.high_water + 70) * twin->granule;
    size_t off = twin_random(state) % end;
    size_t step = twin_random(state) % 4 ? twin->granule : 1;
    cr_assert(twin_find(twin, off), "%s", twin->fault);
    cr_assert(twin_misuse(twin, off / step * step, twin_random(state) % 100), "%s", twin->fault);
    cr_assert(twin_random(state) % 50 || twin_reset(twin));
}

Test(model, tells_of_each_byte_what_lies_there)
{
    static const size_t sizes[] = {400, 3000, 20000, 150000, 400000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint64_t seed = 1; seed <= 10; seed++) {
            struct twin twin;
            uint64_t state = seed * 77777;
            struct ffalloc_config config = {.granule = (size_t)8 << seed % 3,
                                            .is_zeroed = seed % 2};
            cr_assert(twin_init_with(&twin, sizes[i], 0, 60, &config, 0));
            for (uint64_t call = 0; call < 300; call++) {
                cr_assert(twin_run(&twin, seed * 1000 + call, 5, 5), "%s", twin.fault);
                look_around(&twin, &state);
            }
            twin_destroy(&twin);
        }
    }
}

#if FFALLOC_GROWTH

Test(model, pools_that_grow_and_may_not_place_as_the_model)
{
    uint64_t last = 150 * from_environment("FFALLOC_ROUNDS", 3);
    for (uint64_t seed = 1; seed <= last; seed++) {
        struct twin twin;
        uint64_t state = seed * 77777;
        struct ffalloc_config config = {
            .granule = (size_t)8 << twin_random(&state) % 4,
            .is_zeroed = twin_random(&state) % 2,
            .open_unit = (size_t)64 << twin_random(&state) % 7,
            .open_step = twin_random(&state) % 20000,
            .blocks_alignment = seed % 3 ? 0 : (size_t)64 << twin_random(&state) % 8,
        };
        uint8_t refusals = (uint8_t)(twin_random(&state) & twin_random(&state));
        size_t size = 20000 + twin_random(&state) % 400000;
        size_t misalignment = twin_random(&state) % 100;
        if (!twin_init_with(&twin, size, misalignment, 80, &config, refusals))
            continue; /* refused at once */
        cr_assert(twin_run(&twin, seed, 1500, 50), "seed %" PRIu64 ": %s", seed, twin.fault);
        twin_destroy(&twin);
    }
}

#endif
