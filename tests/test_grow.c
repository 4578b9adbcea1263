/* SPDX-License-Identifier: MIT */
/*
 * Pools that grow, beside a pool of which all is open from the start: the same calls give the same
 * offsets and the same refusals. What is not open cannot be touched, and reads as anything else
 * than zero once it is, where that is allowed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../src/core/grow.h"
#include "sound.h"
#include "twin.h"

#define PAGE  ((size_t)4096)
#define SLOTS 200

/* Memory of which a hook opens pieces. */
struct ground {
    unsigned char *memory;
    size_t size;
    size_t unit;
    bool is_zeroed;
    unsigned calls;      /* of the hook */
    unsigned refused_at; /* the call that is refused, from 1; 0: none is */
    size_t blocks_limit; /* bytes; a piece that ends above it is refused if it is the blocks' */
    size_t opened_size;
    unsigned char *units; /* 1: opened */
};

static struct ground ground;

static void open_piece(const struct ffalloc_piece *piece)
{
    uintptr_t start = (uintptr_t)piece->start;
    size_t off = start - (uintptr_t)ground.memory;
    cr_assert(start % ground.unit == 0 && piece->size % ground.unit == 0 && piece->size > 0);
    cr_assert(off < ground.size && piece->size <= ground.size - off);
    for (size_t unit = off / ground.unit; unit < (off + piece->size) / ground.unit; unit++) {
        cr_assert(!ground.units[unit], "unit %zu is opened twice", unit);
        ground.units[unit] = 1;
    }
    if (ground.unit % PAGE == 0)
        cr_assert(mprotect(piece->start, piece->size, PROT_READ | PROT_WRITE) == 0);
    if (!ground.is_zeroed)
        memset(piece->start, 0xa5, piece->size);
    ground.opened_size += piece->size;
}

static bool on_open(struct ffalloc_pool *pool, const struct ffalloc_piece *pieces, unsigned count)
{
    (void)pool;
    const struct ffalloc_piece *last = &pieces[count - 1];
    size_t end = (size_t)((unsigned char *)last->start - ground.memory) + last->size;
    if (++ground.calls == ground.refused_at || end > ground.blocks_limit)
        return false;
    for (unsigned i = 0; i < count; i++)
        open_piece(&pieces[i]);
    return true;
}

static struct ffalloc_pool *grow_in(size_t size, struct ffalloc_config config)
{
    int access = config.open_unit % PAGE == 0 ? PROT_NONE : PROT_READ | PROT_WRITE;
    ground = (struct ground){
        .size = size,
        .unit = config.open_unit,
        .is_zeroed = config.is_zeroed,
        .blocks_limit = SIZE_MAX,
        .units = calloc(size / config.open_unit, 1),
        .memory = mmap(NULL, size, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    };
    cr_assert(ground.memory != MAP_FAILED);
    config.on_open = on_open;
    return ffalloc_init_with(ground.memory, size, &config);
}

static void leave_ground(void)
{
    munmap(ground.memory, ground.size);
    free(ground.units);
}

static size_t random_size(uint64_t *state, size_t most)
{
    uint64_t draw = twin_random(state);
    size_t size = twin_random(state) % ((size_t)1 << (4 + draw % 10));
    return draw % 29 == 0 ? twin_random(state) % most : size;
}

/* Makes a call and returns what it gave. */
static void *random_call(struct ffalloc_pool *pool, void **slot, uint64_t *state, size_t most)
{
    uint64_t draw = twin_random(state);
    size_t size = random_size(state, most);
    if (!*slot && draw % 5 == 0)
        return *slot = ffalloc_aligned_alloc(pool, (size_t)32 << draw / 5 % 8, size);
    if (!*slot)
        return *slot = draw % 3 ? ffalloc_malloc(pool, size) : ffalloc_calloc(pool, 1, size);
    if (draw % 7 == 0)
        return ffalloc_resize(pool, *slot, size) ? *slot : NULL;
    if (draw % 7 == 1) {
        void *moved = ffalloc_realloc(pool, *slot, size);
        *slot = moved ? moved : *slot;
        return moved;
    }
    ffalloc_free(pool, *slot);
    return *slot = NULL;
}

/* A pool of as many granules as another may have, all open; its blocks begin at the same place of a
 * page. */
static struct ffalloc_pool *whole_of(const struct ffalloc_pool *grown, unsigned char **memory)
{
    struct ffalloc_config config = {.granule = (size_t)1 << grown->granule_log2};
    size_t size = ffalloc_pool_size_for(growth_of(grown)->most_granules, config.granule);
    size_t metadata_size = ffalloc_metadata_size(size, config.granule);
    *memory = aligned_alloc(PAGE, (size + 2 * PAGE - 1) & ~(PAGE - 1));
    size_t skip = ((uintptr_t)grown->blocks - metadata_size) & (PAGE - 1);
    struct ffalloc_pool *whole = ffalloc_init_with(*memory + skip, size, &config);
    cr_assert(whole && whole->granule_count == growth_of(grown)->most_granules);
    return whole;
}

static void compare(struct ffalloc_pool *grown, struct ffalloc_pool *whole, uint64_t seed,
                    size_t most, unsigned calls)
{
    void *slots[2][SLOTS] = {{NULL}};
    unsigned char *blocks[] = {grown->blocks, whole->blocks};
    uint64_t state = seed;
    for (unsigned call = 0; call < calls; call++) {
        size_t slot = twin_random(&state) % SLOTS;
        uint64_t again = state;
        unsigned char *left = random_call(grown, &slots[0][slot], &state, most);
        unsigned char *right = random_call(whole, &slots[1][slot], &again, most);
        cr_assert(!left == !right && (!left || left - blocks[0] == right - blocks[1]),
                  "seed %" PRIu64 ", call %u: %td, not %td", seed, call, left - blocks[0],
                  right - blocks[1]);
        if (left)
            memset(left, 0xff, ffalloc_usable_size(grown, left));
        struct ffalloc_fault fault;
        cr_assert(call % 16 || ffalloc_check(grown, &fault), "seed %" PRIu64 ", call %u: %s", seed,
                  call, fault.rule);
    }
    struct ffalloc_stats stats[2] = {stats_of(grown), stats_of(whole)};
    cr_assert(stats[0].high_water_size == stats[1].high_water_size);
    cr_assert(stats[0].used_size == stats[1].used_size);
    cr_assert(stats[0].peak_used_size == stats[1].peak_used_size);
    cr_assert(stats[0].block_count == stats[1].block_count);
    cr_assert(stats[0].failed_count == stats[1].failed_count);
}

struct situation {
    size_t granule;
    size_t unit;
    size_t step;
    size_t size;
    bool is_zeroed;
};

Test(grow, places_as_a_pool_that_is_open_from_the_start)
{
    static const struct situation situations[] = {
        {16, 4096, 4096, 512 << 10, true},  {16, 4096, 1 << 18, 1 << 20, true},
        {8, 4096, 4096, 256 << 10, false},  {8, 64, 64, 100 << 10, false},
        {16, 64, 64, 40 << 10, false},      {64, 64, 64, 90 << 10, false},
        {4096, 4096, 4096, 2 << 20, true},  {16, 32768, 1, 700 << 10, true},
        {16, 4096, 4096, 100 << 10, false}, {8, 1024, 5000, 300 << 10, false},
        {4096, 65536, 0, 8 << 20, false},   {32, 128, 1000, 7000, false},
    };
    for (size_t i = 0; i < sizeof situations / sizeof *situations; i++) {
        struct situation s = situations[i];
        size_t failed_count = 0;
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct ffalloc_config config = {.granule = s.granule,
                                            .is_zeroed = s.is_zeroed,
                                            .open_unit = s.unit,
                                            .open_step = s.step};
            struct ffalloc_pool *grown = grow_in(s.size & -s.unit, config);
            cr_assert(grown, "situation %zu", i);
            unsigned char *memory;
            struct ffalloc_pool *whole = whole_of(grown, &memory);
            compare(grown, whole, seed, bytes_of(whole, whole->granule_count) / 2, 3000);
            failed_count += stats_of(whole).failed_count;
            free(memory);
            leave_ground();
        }
        cr_assert(failed_count > 0, "situation %zu is never full", i);
    }
}

/* What a call that is refused must not have changed. */
static void assert_same(const struct ffalloc_pool *pool, const struct ffalloc_stats *before)
{
    struct ffalloc_stats after = stats_of(pool);
    after.failed_count = before->failed_count;
    after.largest_request_size = before->largest_request_size;
    cr_assert(memcmp(&after, before, sizeof after) == 0);
}

Test(grow, stays_as_it_is_when_the_hook_refuses)
{
    struct ffalloc_config config = {.granule = 16, .is_zeroed = true, .open_unit = 4096};
    struct ffalloc_pool *pool = grow_in((size_t)4 << 20, config);
    struct ffalloc_stats before = stats_of(pool);
    unsigned char *block = ffalloc_malloc(pool, before.usable_size - 64);
    before = stats_of(pool);
    size_t opened_size = ground.opened_size;
    ground.blocks_limit = 0;
    cr_assert(!ffalloc_malloc(pool, 65) && !ffalloc_calloc(pool, 100, 100));
    cr_assert(!ffalloc_aligned_alloc(pool, 8192, 100) && !ffalloc_malloc(pool, SIZE_MAX));
    cr_assert(!ffalloc_resize(pool, block, before.usable_size + 1));
    cr_assert(!ffalloc_realloc(pool, block, before.usable_size + 1));
    assert_same(pool, &before);
    cr_assert(ground.opened_size == opened_size);
    cr_assert(ffalloc_malloc(pool, 64)); /* what is open can be had all the same */
    ground.blocks_limit = SIZE_MAX;
    cr_assert(ffalloc_malloc(pool, 65) && ground.opened_size > opened_size);
    leave_ground();
}

Test(grow, asks_for_less_when_a_step_is_refused)
{
    struct ffalloc_config config = {
        .granule = 16, .is_zeroed = true, .open_unit = 4096, .open_step = 256 << 10};
    struct ffalloc_pool *pool = grow_in((size_t)4 << 20, config);
    cr_assert(stats_of(pool).usable_size == 256 << 10);
    cr_assert(ffalloc_malloc(pool, 256 << 10));
    ground.refused_at = ground.calls + 1;
    cr_assert(ffalloc_malloc(pool, 5000));
    cr_assert(stats_of(pool).usable_size == (256 << 10) + 8192);
    cr_assert(ffalloc_malloc(pool, 5000));
    cr_assert(stats_of(pool).usable_size == (512 << 10) + 8192);
    leave_ground();
}

Test(grow, begins_with_a_unit_where_a_step_is_refused)
{
    struct ffalloc_config config = {.granule = 16,
                                    .is_zeroed = true,
                                    .open_unit = 4096,
                                    .open_step = 1 << 20,
                                    .on_open = on_open};
    cr_assert(grow_in((size_t)2 << 20, config));
    unsigned char *fresh = mmap(NULL, ground.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(ground.memory, ground.size);
    memset(ground.units, 0, ground.size / ground.unit);
    ground.memory = fresh;
    ground.refused_at = ground.calls + 1;
    struct ffalloc_pool *pool = ffalloc_init_with(fresh, ground.size, &config);
    cr_assert(pool && stats_of(pool).usable_size == 4096);
    ground.blocks_limit = 0;
    cr_assert(!ffalloc_init_with(fresh, ground.size, &config));
    leave_ground();
}

Test(grow, init_refuses_what_cannot_grow)
{
    static _Alignas(4096) unsigned char memory[8 * 4096];
    ground = (struct ground){.blocks_limit = 0};
    struct ffalloc_config config = {.granule = 16, .on_open = on_open};
    for (size_t unit = 0; unit < 64; unit++) {
        config.open_unit = unit;
        cr_assert(!ffalloc_init_with(memory, sizeof memory, &config), "unit %zu", unit);
    }
    config.open_unit = 96;
    cr_assert(!ffalloc_init_with(memory, sizeof memory, &config));
    config.granule = 128;
    config.open_unit = 64;
    cr_assert(!ffalloc_init_with(memory, sizeof memory, &config));
    cr_assert(ground.calls == 0);
    config.open_unit = 4096;
    cr_assert(!ffalloc_init_with(memory, 4096, &config) && ground.calls == 0);
    cr_assert(!ffalloc_init_with(memory, sizeof memory, &config) && ground.calls > 0);
}

Test(grow, opens_an_eighth_at_a_time)
{
    struct ffalloc_config config = {
        .granule = 16, .is_zeroed = true, .open_unit = 4096, .open_step = 64 << 10};
    size_t most = FFALLOC_SMALL && SIZE_MAX == UINT32_MAX ? 900 << 10 : (size_t)64 << 20;
    struct ffalloc_pool *pool = grow_in(most * 9 / 8, config);
    size_t size = 0;
    while (size < most && ffalloc_malloc(pool, 4096))
        size += 4096;
    cr_assert(size >= most && ground.calls < 60, "%u calls", ground.calls);
    leave_ground();
}

Test(grow, check_sees_half_a_unit)
{
    struct ffalloc_config config = {.granule = 16, .is_zeroed = true, .open_unit = 4096};
    struct ffalloc_pool *pool = grow_in(1 << 20, config);
    struct ffalloc_fault fault;
    struct growth *growth = (struct growth *)(void *)pool->leaves - 1;
    growth->unit = 8192;
    cr_assert(!ffalloc_check(pool, &fault) && strcmp(fault.rule, "G1") == 0, "%s", fault.rule);
    growth->unit = 4096;
    growth->most_granules = 255;
    cr_assert(!ffalloc_check(pool, &fault) && strcmp(fault.rule, "G1") == 0, "%s", fault.rule);
    leave_ground();
}

Test(grow, opens_what_an_aligned_place_needs_where_more_is_refused)
{
    struct ffalloc_config config = {.granule = 16,
                                    .is_zeroed = true,
                                    .open_unit = 4096,
                                    .open_step = 4096,
                                    .blocks_alignment = 8192};
    struct ffalloc_pool *pool = grow_in((size_t)1 << 20, config);
    unsigned char *first = ffalloc_malloc(pool, 4096);
    cr_assert(first == pool->blocks && (uintptr_t)first % 8192 == 0);
    ground.blocks_limit = (size_t)(first - ground.memory) + 8192;
    cr_assert(!ffalloc_aligned_alloc(pool, 8192, 4096));
    ground.blocks_limit += 4096;
    cr_assert(ffalloc_aligned_alloc(pool, 8192, 4096) == first + 8192);
    cr_assert(stats_of(pool).usable_size == 12288);
    leave_ground();
}

Test(grow, blocks_begin_where_they_are_asked_to)
{
    for (size_t alignment = 64; alignment <= (size_t)256 << 10; alignment *= 2) {
        struct ffalloc_config config = {
            .granule = 16, .open_unit = 64, .blocks_alignment = alignment};
        struct ffalloc_pool *pool = grow_in((size_t)600 << 10, config);
        cr_assert(pool && (uintptr_t)pool->blocks % alignment == 0);
        while (ffalloc_malloc(pool, 5000))
            ;
        stats_of(pool);
        leave_ground();
    }
}

/* Holes of 300 granules at the end of a pool, a used one after each, and 4 after the last. */
static void make_last_holes(struct ffalloc_pool *pool, size_t granules)
{
    enum { HOLES = 10 };
    unsigned char *front = ffalloc_malloc(pool, granules * 1024);
    cr_assert(front && ffalloc_resize(pool, front, (granules - 4) * 1024));
    cr_assert(ffalloc_malloc(pool, 4096));
    cr_assert(stats_of(pool).usable_size == granules * 1024);
    cr_assert(ffalloc_resize(pool, front, (granules - 3 - HOLES * 301) * 1024));
    void *holes[HOLES];
    for (size_t i = 0; i < HOLES; i++) {
        holes[i] = ffalloc_malloc(pool, 300 * 1024);
        cr_assert(holes[i] && (i + 1 == HOLES || ffalloc_malloc(pool, 1024)));
    }
    for (size_t i = 0; i < HOLES; i++)
        ffalloc_free(pool, holes[i]);
}

/* The counts of what an index may be made of are whole units. */
Test(grow, a_search_reads_nothing_that_is_not_open)
{
    size_t most = FFALLOC_SMALL && SIZE_MAX == UINT32_MAX ? 1 << 15 : 1 << 18;
    for (size_t count = 1 << 12; count <= most; count *= 2) {
        struct ffalloc_config config = {.granule = 1024, .is_zeroed = true, .open_unit = 4096};
        struct ffalloc_pool *pool = grow_in((count * 1024 * 9 / 8) & -PAGE, config);
        make_last_holes(pool, count + 4);
        ground.blocks_limit = 0;
        for (size_t alignment = 2048; alignment < (size_t)1 << 24; alignment *= 2) {
            void *block = ffalloc_aligned_alloc(pool, alignment, 300 * 1024);
            cr_assert(!block || (uintptr_t)block % alignment == 0);
            if (block)
                ffalloc_free(pool, block);
        }
        cr_assert(!ffalloc_malloc(pool, 301 * 1024) && ffalloc_check(pool, NULL));
        leave_ground();
    }
}

/* Holes of 40 granules in 9 groups, then one of 102, each with a used block after it; then 40
 * granules aligned to 64 are placed. Returns where. */
static size_t place_behind_nine_groups(struct ffalloc_pool *pool, size_t start)
{
    enum { HOLES = 10 };
    void *holes[HOLES];
    cr_assert(ffalloc_malloc(pool, start * 64));
    for (size_t i = 0; i < HOLES; i++) {
        holes[i] = ffalloc_malloc(pool, (i + 1 < HOLES ? 40 : 102) * 64);
        cr_assert(holes[i] && ffalloc_malloc(pool, 24 * 64));
    }
    for (size_t i = 0; i < HOLES; i++)
        ffalloc_free(pool, holes[i]);
    unsigned char *block = ffalloc_aligned_alloc(pool, PAGE, 40 * 64);
    cr_assert(block);
    return (size_t)(block - pool->blocks) / 64;
}

/* The rule passes the hole of 102 over, in which an aligned place is, for one that has 40 + 63
 * wherever it starts: the pool's end, where a granule less must not be taken for enough. */
Test(grow, opens_as_much_as_the_rule_for_aligned_requests_asks_for)
{
    for (size_t start = 2; start < 64; start++) {
        struct ffalloc_config config = {
            .granule = 64, .open_unit = 64, .open_step = 64, .blocks_alignment = PAGE};
        struct ffalloc_pool *grown = grow_in((size_t)200 << 10, config);
        unsigned char *memory;
        struct ffalloc_pool *whole = whole_of(grown, &memory);
        size_t offs[] = {place_behind_nine_groups(grown, start),
                         place_behind_nine_groups(whole, start)};
        cr_assert(offs[0] == offs[1], "start %zu: %zu, not %zu", start, offs[0], offs[1]);
        free(memory);
        leave_ground();
    }
}
