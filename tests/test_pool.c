/* SPDX-License-Identifier: MIT */
/* The public calls, one promise of ffalloc.h at a time. */
#include <stdint.h>
#include <string.h>

#include "ffalloc/ffalloc.h"
#include "sound.h"
#include "../src/core/choices.h"
#include "unit.h"

static _Alignas(4096) unsigned char memory[1 << 16];

static enum ffalloc_error told_kind;
static const void *told_address;
static unsigned told_count;
static size_t refused_size;
static size_t refused_alignment;
static struct ffalloc_pool *refusing;

static void on_error(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    (void)pool;
    told_kind = kind;
    told_address = address;
    told_count++;
}

static void *on_out_of_memory(struct ffalloc_pool *pool, size_t size, size_t alignment)
{
    (void)pool;
    refused_size = size;
    refused_alignment = alignment;
    return NULL;
}

static struct ffalloc_pool *fresh_pool(size_t size)
{
    struct ffalloc_config config = {
        .granule = 16, .on_error = on_error, .on_out_of_memory = on_out_of_memory};
    told_count = 0;
    return ffalloc_init_with(memory, size, &config);
}

Test(init, returns_null_if_and_only_if_not_one_granule_fits)
{
    size_t least = ffalloc_pool_size_for(1, 0);
    cr_assert(least > 0 && least < 256, "%zu", least);
    cr_assert(ffalloc_init(memory, least) != NULL);
    cr_assert(ffalloc_init(memory, least - 1) == NULL);
    cr_assert(ffalloc_init(memory, 0) == NULL);
    cr_assert(ffalloc_init(NULL, 4096) == NULL);
}

Test(init, refuses_memory_that_ends_before_a_pool_could_begin)
{
    struct ffalloc_config config = {.granule = 64};
    for (size_t misalignment = 1; misalignment < 64; misalignment++)
        for (size_t size = 0; size < 64; size++) {
            cr_assert(!ffalloc_init(memory + misalignment, size));
            cr_assert(!ffalloc_init_with(memory + misalignment, size, &config));
        }
}

Test(init, refuses_a_granule_that_is_no_power_of_two_from_8_to_4096)
{
    static const size_t refused[] = {1, 4, 7, 12, 24, 8192};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        cr_assert(!ffalloc_init_with(memory, sizeof memory,
                                     &(struct ffalloc_config){.granule = refused[i]}));
    for (size_t granule = 8; granule <= 4096; granule *= 2) {
        struct ffalloc_pool *pool =
            ffalloc_init_with(memory, sizeof memory, &(struct ffalloc_config){.granule = granule});
        cr_assert(pool && stats_of(pool).granule == granule);
        cr_assert((uintptr_t)ffalloc_malloc(pool, 1) % granule == 0);
    }
}

Test(init, makes_a_pool_at_any_alignment_and_stays_inside)
{
    for (size_t skip = 0; skip < 40; skip++) {
        memset(memory, 0x5a, sizeof memory);
        struct ffalloc_pool *pool = ffalloc_init(memory + skip, 1000);
        size_t usable = stats_of(pool).usable_size;
        unsigned char *all = ffalloc_malloc(pool, usable);
        cr_assert(all && all >= memory + skip && all + usable <= memory + skip + 1000);
        memset(all, 0, usable);
        for (size_t i = 0; i < skip; i++)
            cr_assert(memory[i] == 0x5a);
        for (size_t i = skip + 1000; i < 2000; i++)
            cr_assert(memory[i] == 0x5a);
    }
}

Test(pools, side_by_side_do_not_know_each_other)
{
    struct ffalloc_pool *first = ffalloc_init(memory, 4096);
    struct ffalloc_config config = {.on_error = on_error};
    struct ffalloc_pool *second = ffalloc_init_with(memory + 4096, 4096, &config);
    void *block = ffalloc_malloc(first, 100);
    ffalloc_malloc(second, 100);
    cr_assert(ffalloc_owns(first, block) && !ffalloc_owns(second, block));
    told_count = 0;
    ffalloc_free(second, block);
    cr_assert(told_count == 1 && told_kind == FFALLOC_FOREIGN_POINTER && told_address == block);
    cr_assert(stats_of(first).block_count == 1 && stats_of(second).block_count == 1);
}

Test(pool_malloc, refuses_what_is_larger_than_any_pool)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2, sizeof memory};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert(ffalloc_malloc(pool, sizes[i]) == NULL);
        cr_assert(refused_size == sizes[i] && refused_alignment == 16);
        cr_assert(ffalloc_aligned_alloc(pool, 4096, sizes[i]) == NULL);
        cr_assert(refused_size == sizes[i] && refused_alignment == 4096);
    }
    cr_assert(stats_of(pool).failed_count == 8 && stats_of(pool).largest_request_size == SIZE_MAX);
}

static void check_refusal(size_t granule, void *block, size_t size)
{
    struct ffalloc_pool *pool = refusing;
    refused_size = 0;
    cr_assert(!ffalloc_malloc(pool, size) && refused_size == size, "%zu", size);
    cr_assert(!ffalloc_calloc(pool, 1, size) && !ffalloc_realloc(pool, block, size));
    cr_assert(!ffalloc_resize(pool, block, size));
    for (size_t alignment = granule; alignment; alignment *= 2)
        cr_assert(!ffalloc_aligned_alloc(pool, alignment, size), "%zu at %zu", size, alignment);
    cr_assert(ffalloc_usable_size(pool, block) == granule);
}

/* The pool has large holes, which a size that wrapped might seem to fit. */
Test(pool_malloc, refuses_each_size_at_which_something_could_wrap)
{
    static const size_t sizes[] = {SIZE_MAX,         SIZE_MAX / 2,     SIZE_MAX / 2 + 1,
                                   SIZE_MAX / 4 + 1, SIZE_MAX / 8 + 1, SIZE_MAX / 16 + 1,
                                   SIZE_MAX - 4096};
    for (size_t granule = 8; granule <= 4096; granule *= 2) {
        struct ffalloc_config config = {
            .granule = granule, .on_error = on_error, .on_out_of_memory = on_out_of_memory};
        refusing = ffalloc_init_with(memory, sizeof memory, &config);
        void *hole = ffalloc_malloc(refusing, sizeof memory / 3);
        void *block = ffalloc_malloc(refusing, 1);
        ffalloc_free(refusing, hole);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            for (size_t less = 0; less < 20; less++)
                check_refusal(granule, block, sizes[i] - less);
            for (size_t less = 1; less < 5; less++)
                check_refusal(granule, block, sizes[i] - less * granule);
        }
        stats_of(refusing);
    }
}

Test(pool_aligned_alloc, refuses_alignments_that_no_pool_has)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    for (size_t alignment = SIZE_MAX / 2 + 1; alignment > sizeof memory * 16; alignment /= 2) {
        void *block = ffalloc_aligned_alloc(pool, alignment, 1);
        cr_assert(!block || (uintptr_t)block % alignment == 0);
        cr_assert(!ffalloc_aligned_alloc(pool, alignment, sizeof memory));
    }
    stats_of(pool);
}

/* In a long block or hole whose leaves say nothing of their own. */
Test(pool_free, tells_what_a_pointer_into_a_long_block_or_hole_is)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    unsigned char *block = ffalloc_malloc(pool, 20000);
    unsigned char *after = ffalloc_malloc(pool, 16);
    ffalloc_free(pool, block + 10000);
    cr_assert(told_count == 1 && told_kind == FFALLOC_NOT_A_BLOCK);
    ffalloc_free(pool, block);
    ffalloc_free(pool, block + 10000);
    cr_assert(told_count == 2 && told_kind == FFALLOC_DOUBLE_FREE);
    ffalloc_free(pool, after + 20000);
    cr_assert(told_count == 3 && told_kind == FFALLOC_DOUBLE_FREE);
    stats_of(pool);
}

static struct ffalloc_pool *reserve;
static void *cache;

static void *serve_from_reserve(struct ffalloc_pool *pool, size_t size, size_t alignment)
{
    (void)pool;
    return ffalloc_aligned_alloc(reserve, alignment, size);
}

static void free_in_reserve(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    (void)pool;
    cr_assert(kind == FFALLOC_FOREIGN_POINTER);
    ffalloc_free(reserve, (void *)(uintptr_t)address);
}

Test(pool_hooks, serve_and_free_from_another_pool)
{
    struct ffalloc_config config = {
        .on_error = free_in_reserve, .on_out_of_memory = serve_from_reserve, .is_zeroed = true};
    memset(memory, 0, 2048);
    struct ffalloc_pool *pool = ffalloc_init_with(memory, 2048, &config);
    memset(memory + 2048, 0xff, sizeof memory - 2048);
    reserve = ffalloc_init(memory + 2048, sizeof memory - 2048);
    char *block = ffalloc_malloc(pool, 1000);
    memcpy(block, "moves", 6);
    unsigned char *zeroed = ffalloc_calloc(pool, 10, 300);
    cr_assert(ffalloc_owns(reserve, zeroed));
    for (size_t i = 0; i < 3000; i++)
        cr_assert(zeroed[i] == 0);
    block = ffalloc_realloc(pool, block, 4000);
    cr_assert(ffalloc_owns(reserve, block) && strcmp(block, "moves") == 0);
    unsigned char *aligned = ffalloc_aligned_alloc(pool, 512, 2500);
    cr_assert(ffalloc_owns(reserve, aligned) && (uintptr_t)aligned % 512 == 0);
    cr_assert(stats_of(pool).block_count == 0 && stats_of(reserve).block_count == 3);
    ffalloc_free(pool, block);
    ffalloc_free(pool, zeroed);
    ffalloc_free(pool, aligned);
    cr_assert(stats_of(reserve).block_count == 0);
    cr_assert(ffalloc_malloc(pool, sizeof memory) == NULL && stats_of(pool).failed_count == 4);
}

static void *free_cache_and_ask_again(struct ffalloc_pool *pool, size_t size, size_t alignment)
{
    if (!cache)
        return NULL;
    ffalloc_free(pool, cache);
    cache = NULL;
    return ffalloc_aligned_alloc(pool, alignment, size);
}

Test(pool_hooks, free_something_and_ask_again)
{
    struct ffalloc_config config = {.on_out_of_memory = free_cache_and_ask_again,
                                    .is_zeroed = true};
    memset(memory, 0, 4096);
    struct ffalloc_pool *pool = ffalloc_init_with(memory, 4096, &config);
    cache = memset(ffalloc_malloc(pool, 2000), 0xff, 2000);
    unsigned char *freed = cache;
    unsigned char *block = ffalloc_calloc(pool, 2, 1500);
    cr_assert(block == freed && !cache);
    for (size_t i = 0; i < 3000; i++)
        cr_assert(block[i] == 0);
    cr_assert(ffalloc_malloc(pool, 2000) == NULL);
    cr_assert(stats_of(pool).block_count == 1 && stats_of(pool).failed_count == 2);
}

Test(pool_calloc, zeroes_and_refuses_an_overflow)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    unsigned char *dirty = ffalloc_malloc(pool, 1000);
    memset(dirty, 0xff, 1000);
    ffalloc_free(pool, dirty);
    unsigned char *clean = ffalloc_calloc(pool, 10, 100);
    cr_assert(clean == dirty);
    for (size_t i = 0; i < 1000; i++)
        cr_assert(clean[i] == 0);
    cr_assert(ffalloc_calloc(pool, SIZE_MAX / 2, 3) == NULL);
    cr_assert(refused_size == SIZE_MAX);
    cr_assert(ffalloc_calloc(pool, 0, 5) != NULL);
}

Test(pool_calloc, of_zeroed_memory_clears_only_what_was_handed_out)
{
    memset(memory, 0, sizeof memory);
    struct ffalloc_config config = {.is_zeroed = true, .granule = 16};
    struct ffalloc_pool *pool = ffalloc_init_with(memory, sizeof memory, &config);
    unsigned char *first = ffalloc_malloc(pool, 64);
    memset(first, 0xff, 64);
    ffalloc_free(pool, first);
    /* A mark beyond the high-water mark: calloc must leave it, which shows it did not clear. */
    first[80] = 0x77;
    unsigned char *block = ffalloc_calloc(pool, 1, 128);
    cr_assert(block == first && block[0] == 0 && block[63] == 0 && block[80] == 0x77);
    first[200] = 0x77;
    cr_assert(ffalloc_calloc(pool, 1, 128) == first + 128 && first[200] == 0x77);
    ffalloc_reset_marks(pool);
    ffalloc_free(pool, block);
    block = ffalloc_calloc(pool, 1, 128);
    cr_assert(block[80] == 0);
}

Test(pool_aligned_alloc, aligns_and_refuses_what_is_no_power_of_two)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    for (size_t alignment = 1; alignment <= 16384; alignment *= 2) {
        void *block = ffalloc_aligned_alloc(pool, alignment, 24);
        cr_assert(block && (uintptr_t)block % alignment == 0, "%zu", alignment);
    }
    cr_assert(!ffalloc_aligned_alloc(pool, 0, 8) && !ffalloc_aligned_alloc(pool, 48, 8));
    cr_assert(!ffalloc_aligned_alloc(pool, SIZE_MAX / 2 + 1, 8));
    stats_of(pool);
}

Test(pool_aligned_alloc, takes_exactly_its_size_and_is_found_again)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    ffalloc_malloc(pool, 16);
    void *block = ffalloc_aligned_alloc(pool, 4096, 4096);
    cr_assert(ffalloc_usable_size(pool, block) == 4096);
    ffalloc_free(pool, block);
    cr_assert(ffalloc_aligned_alloc(pool, 4096, 4096) == block);
}

Test(pool_realloc, shrinks_and_grows_in_place)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    unsigned char *block = ffalloc_malloc(pool, 1000);
    memset(block, 7, 1000);
    cr_assert(ffalloc_realloc(pool, block, 100) == block);
    cr_assert(ffalloc_usable_size(pool, block) == 112);
    cr_assert(ffalloc_realloc(pool, block, 30000) == block);
    cr_assert(block[99] == 7 && stats_of(pool).hole_count == 1);
    cr_assert(stats_of(pool).alloc_count == 1 && stats_of(pool).free_count == 0);
}

Test(pool_realloc, moves_to_the_lowest_space_if_the_right_is_taken)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    void *low = ffalloc_malloc(pool, 500);
    ffalloc_malloc(pool, 16);
    unsigned char *block = ffalloc_malloc(pool, 100);
    ffalloc_malloc(pool, 16);
    memset(block, 9, 100);
    ffalloc_free(pool, low);
    unsigned char *moved = ffalloc_realloc(pool, block, 400);
    cr_assert(moved == low && moved[0] == 9 && moved[99] == 9);
    cr_assert(stats_of(pool).block_count == 3);
}

/* As C's: what cannot stay where it is moves to the lowest space, aligned or not. */
Test(pool_realloc, moves_an_aligned_block_to_the_alignment_of_the_granule)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    ffalloc_malloc(pool, 16);
    unsigned char *block = ffalloc_aligned_alloc(pool, 4096, 100);
    ffalloc_malloc(pool, 16 * 1024);
    cr_assert((uintptr_t)block % 4096 == 0 && !ffalloc_resize(pool, block, 20000));
    unsigned char *lowest = ffalloc_malloc(pool, 20000);
    ffalloc_free(pool, lowest);
    cr_assert(ffalloc_realloc(pool, block, 20000) == lowest && (uintptr_t)lowest % 4096 != 0);
}

Test(pool_realloc, keeps_the_block_if_it_fails)
{
    struct ffalloc_pool *pool = fresh_pool(4096);
    unsigned char *block = ffalloc_malloc(pool, 100);
    memset(block, 9, 100);
    cr_assert(ffalloc_realloc(pool, block, 100000) == NULL && refused_size == 100000);
    cr_assert(block[99] == 9 && ffalloc_usable_size(pool, block) == 112);
    cr_assert(!ffalloc_resize(pool, block, SIZE_MAX) && stats_of(pool).block_count == 1);
}

Test(pool_realloc, of_null_allocates_and_of_size_zero_keeps_one_granule)
{
    struct ffalloc_pool *pool = fresh_pool(4096);
    void *block = ffalloc_realloc(pool, NULL, 100);
    cr_assert(block && ffalloc_realloc(pool, block, 0) == block);
    cr_assert(ffalloc_usable_size(pool, block) == 16 && stats_of(pool).block_count == 1);
}

/* Every call that takes a pointer, with every kind of wrong one. */
Test(misuse, is_always_seen_and_changes_nothing)
{
    struct ffalloc_pool *pool = fresh_pool(sizeof memory);
    unsigned char *used = ffalloc_malloc(pool, 5000);
    unsigned char *freed = ffalloc_malloc(pool, 64);
    ffalloc_malloc(pool, 16);
    ffalloc_free(pool, freed);
    int elsewhere;
    const struct {
        void *address;
        enum ffalloc_error kind;
    } cases[] = {
        {freed, FFALLOC_DOUBLE_FREE},          {freed + 16, FFALLOC_DOUBLE_FREE},
        {freed + 1, FFALLOC_DOUBLE_FREE},      {used + 1, FFALLOC_NOT_A_BLOCK},
        {used + 16, FFALLOC_NOT_A_BLOCK},      {used + 4096, FFALLOC_NOT_A_BLOCK},
        {memory, FFALLOC_FOREIGN_POINTER},     {memory + sizeof memory, FFALLOC_FOREIGN_POINTER},
        {&elsewhere, FFALLOC_FOREIGN_POINTER}, {memory + sizeof memory - 40, FFALLOC_DOUBLE_FREE},
        {(void *)8, FFALLOC_FOREIGN_POINTER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *address = cases[i].address;
        struct ffalloc_stats before = stats_of(pool);
        told_count = 0;
        ffalloc_free(pool, address);
        cr_assert(told_count == 1 && told_kind == cases[i].kind, "case %zu: kind %d", i, told_kind);
        cr_assert(told_address == address);
        cr_assert(ffalloc_release(pool, address) == 0 && told_count == 2);
        cr_assert(ffalloc_realloc(pool, address, 10) == NULL && told_count == 3);
        cr_assert(!ffalloc_resize(pool, address, 10) && told_count == 4);
        cr_assert(ffalloc_usable_size(pool, address) == 0 && told_count == 5);
        struct ffalloc_stats after = stats_of(pool);
        cr_assert(memcmp(&before, &after, sizeof before) == 0, "case %zu", i);
    }
    ffalloc_free(pool, NULL);
    cr_assert(ffalloc_release(pool, NULL) == 0 && ffalloc_usable_size(pool, NULL) == 0);
    cr_assert(told_count == 5);
}

Test(misuse, without_a_hook_is_ignored)
{
    struct ffalloc_pool *pool = ffalloc_init(memory, sizeof memory);
    void *block = ffalloc_malloc(pool, 10);
    ffalloc_free(pool, block);
    ffalloc_free(pool, block);
    cr_assert(stats_of(pool).free_count == 1);
}

#if FFALLOC_SMALL

Test(pool, a_small_core_counts_granules_in_half_a_word)
{
    size_t most = (SIZE_MAX >> sizeof(size_t) * 4) - 1;
    size_t size = ffalloc_pool_size_for(most, 8);
    cr_assert(size != 0);
    cr_assert(ffalloc_pool_size_for(most + 1, 8) == 0);
    cr_assert(ffalloc_metadata_size(size + 100000, 8) == size - most * 8);
}

#else /* a small core leaves these out, and by that none is as here */

Test(pool_target, this_machine_is_one_of_its_targets)
{
    unsigned word_bits = sizeof(size_t) * 8;
    size_t granules[] = {1, 50, 63, 64, 255, 256, 1000, 70001, 5000000};
    for (size_t i = 0; i < sizeof granules / sizeof *granules; i++) {
        size_t size = ffalloc_target_pool_size_for(word_bits, granules[i], 8);
        cr_assert(size == ffalloc_pool_size_for(granules[i], 8));
        cr_assert(ffalloc_target_granules(word_bits, size, 8) >= granules[i]);
        cr_assert(ffalloc_target_granules(word_bits, size - 1, 8) < granules[i]);
    }
    cr_assert(ffalloc_target_granules(32, 1024, 8) == 113);
    cr_assert(ffalloc_target_granules(64, 1024, 16) == 51);
    cr_assert(ffalloc_target_pool_size_for(16, 100, 8) == 0);
    cr_assert(ffalloc_target_granules(32, 1024, 7) == 0);
}

#endif
