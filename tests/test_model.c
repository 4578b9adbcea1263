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
