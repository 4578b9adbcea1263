/* SPDX-License-Identifier: MIT */
/*
 * A heap of several regions against one naive model for each, asked in order by hand. FFALLOC_SEED
 * repeats a campaign, FFALLOC_ROUNDS makes more of them.
 */
#include "ffalloc/regions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "twin.h"
#include "unit.h"

#define MOST_REGIONS 5
#define MOST_SIZE    (24 << 10) /* bytes of a region */
#define SLOTS        300
#define CALLS        6000

static uint64_t campaign; /* the seed, for messages */

#define SAME(condition) cr_assert(condition, "FFALLOC_SEED=%" PRIu64, campaign)

struct slot {
    unsigned char *block; /* NULL: not live */
    size_t size;
    size_t region, start; /* where the model has it; the start in granules */
    unsigned char stamp;
};

static _Alignas(4096) unsigned char memory[MOST_REGIONS][MOST_SIZE];

/* A heap, and beside it what a naive one has. */
struct side {
    struct ffalloc_regions heap;
    struct ffalloc_region regions[MOST_REGIONS];
    struct model models[MOST_REGIONS];
    size_t granules[MOST_REGIONS]; /* bytes of one, of each region */
    unsigned char *blocks[MOST_REGIONS];
    size_t count;
    struct slot slots[SLOTS];
    size_t peak, failed_count;
};

static struct {
    unsigned count;
    struct ffalloc_pool *pool;
    enum ffalloc_error kind;
} told;

static void on_error(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    (void)address;
    told.count++;
    told.pool = pool;
    told.kind = kind;
}

/* Regions of sizes and granules drawn at random, in an order that is not their addresses'. */
static void side_init(struct side *side, uint64_t seed)
{
    uint64_t state = seed;
    *side = (struct side){.count = 1 + seed % MOST_REGIONS};
    size_t turn = twin_random(&state) % side->count;
    for (size_t i = 0; i < side->count; i++) {
        size_t size = 400 + twin_random(&state) % ((size_t)MOST_SIZE >> twin_random(&state) % 5);
        size = size < MOST_SIZE ? size : MOST_SIZE;
        struct ffalloc_config config = {.granule = (size_t)8 << twin_random(&state) % 3,
                                        .on_error = on_error};
        void *at = memory[(i + turn) % side->count];
        SAME(ffalloc_regions_add(&side->heap, &side->regions[i], at, size, &config));
        struct ffalloc_marks marks;
        ffalloc_marks(side->regions[i].pool, &marks);
        side->granules[i] = config.granule;
        side->blocks[i] = marks.blocks;
        model_init(&side->models[i], marks.usable_size / config.granule,
                   (uintptr_t)marks.blocks / config.granule);
    }
}

static void side_destroy(struct side *side)
{
    for (size_t i = 0; i < side->count; i++)
        model_destroy(&side->models[i]);
}

static size_t granules_of(const struct side *side, size_t region, size_t size)
{
    size_t granule = side->granules[region];
    return size == 0 ? 1 : (size + granule - 1) / granule;
}

/* Notes what is in use, and `more` that was for a moment. */
static void note_peak(struct side *side, size_t more)
{
    size_t used = more;
    for (size_t i = 0; i < side->count; i++)
        used += side->models[i].used * side->granules[i];
    side->peak = used > side->peak ? used : side->peak;
}

/* Asks one model. */
static bool model_asks(struct side *side, size_t region, size_t alignment, struct slot *slot)
{
    size_t granule = side->granules[region];
    slot->region = region;
    slot->start = model_alloc(&side->models[region], granules_of(side, region, slot->size),
                              alignment > granule ? alignment / granule : 1);
    return slot->start != MODEL_NONE;
}

/* Asks all in order but one. */
static bool model_asks_all(struct side *side, size_t but, size_t alignment, struct slot *slot)
{
    for (size_t i = 0; i < side->count; i++)
        if (i != but && model_asks(side, i, alignment, slot))
            return true;
    return false;
}

static unsigned char *address_in(const struct side *side, const struct slot *slot)
{
    return side->blocks[slot->region] + slot->start * side->granules[slot->region];
}

/* A request got `block`, and by the models it is served or not, at the slot's place. */
static void settle(struct side *side, struct slot *slot, unsigned char *block, bool is_served)
{
    SAME((block != NULL) == is_served);
    slot->block = block;
    if (!block) {
        side->failed_count++;
        return;
    }
    SAME(block == address_in(side, slot));
    note_peak(side, 0);
    memset(block, slot->stamp, slot->size);
}

static void call_alloc(struct side *side, struct slot *slot, uint64_t draw)
{
    size_t alignment = (size_t)1 << draw % 9;
    size_t region = (draw >> 8) % side->count;
    struct ffalloc_region *asked = &side->regions[region];
    struct slot wanted = {.size = slot->size, .stamp = slot->stamp};
    unsigned char *block;
    bool is_served;
    switch (draw >> 16 & 7) {
    case 0:
        block = ffalloc_regions_alloc_preferring(&side->heap, asked, alignment, slot->size);
        is_served = model_asks(side, region, alignment, &wanted) ||
                    model_asks_all(side, region, alignment, &wanted);
        break;
    case 1:
        block = ffalloc_regions_alloc_in(&side->heap, asked, alignment, slot->size);
        is_served = model_asks(side, region, alignment, &wanted);
        break;
    case 2:
        block = ffalloc_regions_aligned_alloc(&side->heap, alignment, slot->size);
        is_served = model_asks_all(side, SIZE_MAX, alignment, &wanted);
        break;
    case 3:
        block = ffalloc_regions_calloc(&side->heap, 1, slot->size);
        is_served = model_asks_all(side, SIZE_MAX, 1, &wanted);
        for (size_t i = 0; block && i < slot->size; i++)
            SAME(block[i] == 0);
        break;
    default:
        block = ffalloc_regions_malloc(&side->heap, slot->size);
        is_served = model_asks_all(side, SIZE_MAX, 1, &wanted);
    }
    settle(side, &wanted, block, is_served);
    *slot = wanted;
}

static size_t usable_size(const struct side *side, const struct slot *slot)
{
    return granules_of(side, slot->region, slot->size) * side->granules[slot->region];
}

static void check_stamps(const struct slot *slot, size_t size)
{
    for (size_t i = 0; i < size; i++)
        SAME(slot->block[i] == slot->stamp);
}

static void call_free(struct side *side, struct slot *slot)
{
    check_stamps(slot, slot->size);
    SAME(ffalloc_regions_usable_size(&side->heap, slot->block) == usable_size(side, slot));
    ffalloc_regions_free(&side->heap, slot->block);
    model_free(&side->models[slot->region], slot->start);
    slot->block = NULL;
}

static void call_resize(struct side *side, struct slot *slot, size_t size)
{
    bool is_done = ffalloc_regions_resize(&side->heap, slot->block, size);
    size_t count = granules_of(side, slot->region, size);
    SAME(is_done == model_resize(&side->models[slot->region], slot->start, count));
    if (!is_done)
        return;
    check_stamps(slot, slot->size < size ? slot->size : size);
    slot->size = size;
    settle(side, slot, slot->block, true);
}

/* The block's own region cannot: its model is asked last, and gives the old block back. */
static bool model_moves(struct side *side, const struct slot *slot, struct slot *wanted)
{
    if (!model_asks_all(side, slot->region, 1, wanted))
        return false;
    note_peak(side, 0);
    model_free(&side->models[slot->region], slot->start);
    return true;
}

static void call_realloc(struct side *side, struct slot *slot, size_t size)
{
    struct slot wanted = {.size = size, .stamp = slot->stamp, .region = slot->region};
    unsigned char *block = ffalloc_regions_realloc(&side->heap, slot->block, size);
    wanted.start = model_realloc(&side->models[slot->region], slot->start,
                                 granules_of(side, slot->region, size));
    bool is_moved = wanted.start != MODEL_NONE && wanted.start != slot->start;
    if (is_moved)
        note_peak(side, usable_size(side, slot));
    bool is_served = wanted.start != MODEL_NONE || model_moves(side, slot, &wanted);
    if (is_served) {
        slot->block = block;
        check_stamps(slot, slot->size < size ? slot->size : size);
        settle(side, &wanted, block, true);
        *slot = wanted;
    } else {
        SAME(!block);
        side->failed_count++;
        check_stamps(slot, slot->size);
    }
}

/* Each wrong pointer is told once, by the region that has it, or by the first; nothing changes. */
static void call_wrongly(struct side *side, uint64_t draw)
{
    size_t region = draw % side->count;
    unsigned char *wrong = side->blocks[region] + (draw >> 8) % MOST_SIZE;
    wrong += (wrong - side->blocks[region]) % 8 == 0; /* no block begins there */
    struct ffalloc_region *owner = ffalloc_regions_find(&side->heap, wrong);
    for (size_t i = 0; i < side->count; i++)
        SAME((owner == &side->regions[i]) == ffalloc_owns(side->regions[i].pool, wrong));
    told.count = 0;
    if (draw >> 32 & 1)
        ffalloc_regions_free(&side->heap, wrong);
    else if (draw >> 33 & 1)
        SAME(!ffalloc_regions_realloc(&side->heap, wrong, 1));
    else if (draw >> 34 & 1)
        SAME(!ffalloc_regions_resize(&side->heap, wrong, 1));
    else
        SAME(ffalloc_regions_usable_size(&side->heap, wrong) == 0);
    SAME(told.count == 1 && told.pool == (owner ? owner : side->regions)->pool);
    SAME((told.kind == FFALLOC_FOREIGN_POINTER) == !owner);
    told.count = 0;
}

static void random_call(struct side *side, uint64_t *state)
{
    struct slot *slot = &side->slots[twin_random(state) % SLOTS];
    uint64_t draw = twin_random(state);
    size_t size = twin_random(state) % ((size_t)1 << (3 + draw % 10));
    draw = twin_random(state);
    if (draw % 16 == 0) {
        call_wrongly(side, draw >> 8);
    } else if (!slot->block) {
        slot->size = size;
        slot->stamp = (unsigned char)(draw >> 56);
        call_alloc(side, slot, draw >> 8);
    } else if (draw % 3 == 0) {
        call_realloc(side, slot, size);
    } else if (draw % 7 == 0) {
        call_resize(side, slot, size);
    } else {
        call_free(side, slot);
    }
    SAME(told.count == 0);
}

static void compare_stats(const struct side *side)
{
    struct ffalloc_stats stats;
    struct ffalloc_marks marks;
    ffalloc_regions_stats(&side->heap, &stats);
    ffalloc_regions_marks(&side->heap, &marks);
    SAME(marks.used_size == stats.used_size && marks.least_free_size == stats.least_free_size);
    SAME(marks.usable_size == stats.usable_size && marks.high_water_size == stats.high_water_size);
    size_t used = 0, high_water = 0, holes = 0, blocks = 0;
    size_t largest = 0, smallest = SIZE_MAX, usable = 0;
    for (size_t i = 0; i < side->count; i++) {
        const struct model *model = &side->models[i];
        used += model->used * side->granules[i];
        high_water += model->high_water * side->granules[i];
        for (size_t k = 0; k < model->block_count; k++) {
            size_t size = model->blocks[k].count * side->granules[i];
            usable += size;
            blocks += model->blocks[k].is_used;
            if (model->blocks[k].is_used)
                continue;
            holes++;
            largest = size > largest ? size : largest;
            smallest = size < smallest ? size : smallest;
        }
    }
    SAME(stats.used_size == used && stats.free_size == usable - used);
    SAME(stats.usable_size == usable && stats.high_water_size == high_water);
    SAME(stats.hole_count == holes && stats.block_count == blocks);
    SAME(stats.largest_hole_size == largest);
    SAME(stats.smallest_hole_size == (holes ? smallest : 0));
    SAME(stats.alloc_count - stats.free_count == blocks);
    SAME(stats.peak_used_size == side->peak);
    SAME(stats.least_free_size == usable - side->peak);
    SAME(stats.failed_count == side->failed_count);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value ? strtoull(value, NULL, 0) : otherwise;
}

Test(regions, place_as_the_models_in_order)
{
    uint64_t first = from_environment("FFALLOC_SEED", 1);
    uint64_t end = first + 20 * from_environment("FFALLOC_ROUNDS", 3);
    for (uint64_t seed = first; seed < end; seed++) {
        static struct side side;
        campaign = seed;
        side_init(&side, seed);
        uint64_t state = seed * 77;
        for (unsigned call = 0; call < CALLS; call++) {
            random_call(&side, &state);
            if (call % 64)
                continue;
            compare_stats(&side);
            SAME(ffalloc_regions_check(&side.heap, NULL, NULL));
        }
        ffalloc_regions_reset_marks(&side.heap);
        side.peak = 0;
        note_peak(&side, 0);
        for (size_t i = 0; i < side.count; i++)
            model_reset_marks(&side.models[i]);
        compare_stats(&side);
        side_destroy(&side);
    }
}

/* Of regions of `granules` each: where each block lay, the marks, and how many requests failed. */
struct run {
    uint64_t hash;
    size_t marks[3]; /* granules */
    size_t failed_count;
};

static struct run run_in(const size_t *granules, uint64_t seed)
{
    struct ffalloc_regions heap = {0};
    struct ffalloc_region regions[3];
    unsigned char *slots[SLOTS] = {NULL};
    struct run run = {0};
    struct ffalloc_config config = {.granule = 16};
    for (size_t i = 0; i < 3; i++) {
        size_t size = ffalloc_pool_size_for(granules[i], 16);
        cr_assert(ffalloc_regions_add(&heap, &regions[i], memory[i], size, &config));
    }
    for (unsigned call = 0; call < CALLS; call++) {
        unsigned char **slot = &slots[twin_random(&seed) % SLOTS];
        size_t size = twin_random(&seed) % 300;
        uint64_t draw = twin_random(&seed);
        if (*slot && draw % 4) {
            ffalloc_regions_free(&heap, *slot);
            *slot = NULL;
            continue;
        }
        void *block = *slot ? ffalloc_regions_realloc(&heap, *slot, size)
                      : draw % 3 == 0
                          ? ffalloc_regions_alloc_preferring(&heap, &regions[2], 1, size)
                          : ffalloc_regions_malloc(&heap, size);
        *slot = block ? block : *slot;
        struct ffalloc_region *region = ffalloc_regions_find(&heap, *slot);
        struct ffalloc_marks marks = {0};
        if (region)
            ffalloc_marks(region->pool, &marks);
        size_t offset = region ? (size_t)(*slot - (unsigned char *)marks.blocks) : 0;
        run.hash = (run.hash ^ (offset * 4 + (size_t)(region - regions))) * 0x100000001b3u;
    }
    for (size_t i = 0; i < 3; i++) {
        struct ffalloc_marks marks;
        ffalloc_marks(regions[i].pool, &marks);
        run.marks[i] = marks.high_water_size / 16;
    }
    run.failed_count = heap.failed_count;
    return run;
}

Test(regions, high_water_marks_are_the_least_regions)
{
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct run roomy = run_in((const size_t[]){400, 700, 1400}, seed);
        cr_assert(roomy.failed_count == 0);
        struct run exact = run_in(roomy.marks, seed);
        cr_assert(exact.failed_count == 0 && exact.hash == roomy.hash, "seed %" PRIu64, seed);
    }
}

Test(regions, a_heap_without_regions_serves_nothing)
{
    struct ffalloc_regions heap = {0};
    struct ffalloc_stats stats;
    int other;
    cr_assert(!ffalloc_regions_malloc(&heap, 1) && heap.failed_count == 1);
    cr_assert(!ffalloc_regions_realloc(&heap, &other, 1));
    cr_assert(!ffalloc_regions_resize(&heap, &other, 1) && !ffalloc_regions_find(&heap, &other));
    ffalloc_regions_free(&heap, &other);
    ffalloc_regions_free(&heap, NULL);
    ffalloc_regions_stats(&heap, &stats);
    cr_assert(stats.usable_size == 0 && stats.failed_count == 1 && stats.smallest_hole_size == 0);
    cr_assert(ffalloc_regions_check(&heap, NULL, NULL));
}

Test(regions, memory_of_another_region_is_refused)
{
    struct ffalloc_regions heap = {0};
    struct ffalloc_region one, other;
    unsigned char *start = memory[0];
    cr_assert(ffalloc_regions_add(&heap, &one, start + 1000, 1000, NULL));
    char *block = ffalloc_regions_malloc(&heap, 10);
    static const size_t wrong[][2] = {{1000, 1000}, {0, 1001}, {1999, 800}, {1500, 100}, {0, 9000}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(!ffalloc_regions_add(&heap, &other, start + wrong[i][0], wrong[i][1], NULL));
    cr_assert(!ffalloc_regions_add(&heap, &other, start + 2000, 3, NULL) && !heap.first->next);
    cr_assert(ffalloc_regions_check(&heap, NULL, NULL));
    cr_assert(ffalloc_regions_usable_size(&heap, block) >= 10);
    cr_assert(ffalloc_regions_add(&heap, &other, start, 1000, NULL) && one.next == &other);
}

static struct {
    unsigned count;
    size_t size, alignment;
    void *to_free;
} refused;

static void *on_out_of_memory(struct ffalloc_regions *heap, size_t size, size_t alignment)
{
    refused.count++;
    refused.size = size;
    refused.alignment = alignment;
    if (!refused.to_free)
        return NULL;
    ffalloc_regions_free(heap, refused.to_free);
    refused.to_free = NULL;
    return ffalloc_regions_malloc(heap, size);
}

Test(regions, what_none_can_serve_is_told_once)
{
    struct ffalloc_regions heap = {.on_out_of_memory = on_out_of_memory};
    struct ffalloc_region one, other;
    cr_assert(ffalloc_regions_add(&heap, &one, memory[0], 2000, NULL));
    cr_assert(ffalloc_regions_add(&heap, &other, memory[1], 4000, NULL));
    cr_assert(!ffalloc_regions_calloc(&heap, SIZE_MAX / 2, 3) && refused.count == 1);
    cr_assert(!ffalloc_regions_aligned_alloc(&heap, 3, 3) && refused.count == 1);
    cr_assert(!ffalloc_regions_alloc_in(&heap, &one, 8, 3000) && refused.count == 2);
    cr_assert(refused.size == 3000 && refused.alignment == 8);
    char *large = ffalloc_regions_malloc(&heap, 3000);
    cr_assert(ffalloc_regions_find(&heap, large) == &other && refused.count == 2);
    char *small = ffalloc_regions_malloc(&heap, 1000);
    cr_assert(ffalloc_regions_find(&heap, small) == &one && refused.count == 2);
    memset(small, 7, 1000);
    cr_assert(!ffalloc_regions_realloc(&heap, small, 3000) && refused.count == 3);
    refused.to_free = large;
    char *moved = ffalloc_regions_realloc(&heap, small, 3000);
    cr_assert(moved == large && moved[999] == 7 && refused.count == 4);
    cr_assert(heap.failed_count == 4 && ffalloc_regions_usable_size(&heap, moved) >= 3000);
    cr_assert(!one.pool || ffalloc_regions_check(&heap, NULL, NULL));
    struct ffalloc_stats stats;
    ffalloc_stats(one.pool, &stats);
    cr_assert(stats.block_count == 0); /* the old block was freed */
}

Test(regions, check_tells_the_region_that_is_damaged)
{
    struct ffalloc_regions heap = {0};
    struct ffalloc_region one, other;
    const struct ffalloc_region *where = NULL;
    struct ffalloc_fault fault = {0};
    cr_assert(ffalloc_regions_add(&heap, &one, memory[0], 2000, NULL));
    cr_assert(ffalloc_regions_add(&heap, &other, memory[1], 4000, NULL));
    cr_assert(ffalloc_regions_check(&heap, &fault, &where) && !where && !fault.rule);
    struct ffalloc_marks marks;
    ffalloc_marks(other.pool, &marks);
    memset((unsigned char *)marks.blocks - 64, 0x5a, 64);
    cr_assert(!ffalloc_regions_check(&heap, &fault, &where) && where == &other && fault.rule);
    cr_assert(!ffalloc_regions_check(&heap, NULL, NULL));
}
