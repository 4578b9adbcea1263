/* SPDX-License-Identifier: MIT */
/* Guards over one pool, as firmware has them: each byte beyond a block is told, once, and nothing
 * else is; every block is as its owner left it. */
#include <string.h>

#include "ffalloc/guarded.h"
#include "unit.h"

#define SLOTS 100

static _Alignas(64) unsigned char memory[1 << 16];
static unsigned char *slots[SLOTS];
static size_t sizes[SLOTS];

static unsigned told_count;
static void *told_block;
static size_t told_size;

void ffalloc_guard_on_damage(struct ffalloc_pool *pool, void *block, size_t size)
{
    (void)pool;
    told_count++;
    told_block = block;
    told_size = size;
}

static struct ffalloc_pool *start(void)
{
    struct ffalloc_pool *pool = ffalloc_init(memory, sizeof memory);
    told_count = 0;
    cr_assert(pool && ffalloc_guarded_start(pool));
    return pool;
}

/* Told once of the block, by `free`; then not again. */
static void expect_told(struct ffalloc_pool *pool, void *block, size_t size)
{
    ffalloc_guarded_check(pool);
    cr_assert(told_count == 1 && told_block == block);
    cr_assert(told_size == size || told_size == 0);
    ffalloc_guarded_check(pool);
    cr_assert(told_count == 1);
    told_count = 0;
}

Test(guarded, tells_of_each_byte_beyond_a_block)
{
    struct ffalloc_pool *pool = start();
    for (size_t size = 0; size < 70; size++) {
        unsigned char *block = ffalloc_guarded_malloc(pool, size);
        size_t asked = size + !size;
        cr_assert(ffalloc_guarded_usable_size(pool, block) == asked);
        for (size_t byte = asked; byte < asked + FFALLOC_GUARD_SIZE; byte++) {
            block[byte] ^= 0x55;
            expect_told(pool, block, asked);
        }
        unsigned char *next = ffalloc_guarded_malloc(pool, 1);
        cr_assert(next >= block + asked + FFALLOC_GUARD_SIZE);
        ffalloc_guarded_free(pool, next);
        ffalloc_guarded_free(pool, block);
    }
    cr_assert(told_count == 0);
}

Test(guarded, names_the_size_if_that_was_not_overwritten)
{
    struct ffalloc_pool *pool = start();
    unsigned char *block = ffalloc_guarded_malloc(pool, 40);
    block[40] = 0;
    ffalloc_guarded_free(pool, block);
    cr_assert(told_count == 1 && told_block == block && told_size == 40);
}

Test(guarded, tells_of_what_lies_before_the_first_block)
{
    struct ffalloc_pool *pool = start();
    unsigned char *block = ffalloc_guarded_malloc(pool, 40);
    for (size_t before = 1; before <= FFALLOC_GUARD_SIZE; before++) {
        block[-(ptrdiff_t)before] ^= 0x55;
        ffalloc_guarded_check(pool);
        cr_assert(told_count == 1 && told_block < (void *)block);
        told_count = 0;
    }
}

static void change(struct ffalloc_pool *pool, unsigned slot, unsigned how, size_t size)
{
    unsigned char *block = slots[slot];
    for (size_t i = 0; block && i < sizes[slot]; i++)
        cr_assert(block[i] == (unsigned char)slot);
    if (how == 0) {
        ffalloc_guarded_free(pool, block);
        block = NULL;
    } else if (how == 1) {
        unsigned char *moved = ffalloc_guarded_realloc(pool, block, size);
        block = moved ? moved : block;
        size = moved ? size : sizes[slot];
    } else if (!block) {
        block = how == 2 ? ffalloc_guarded_malloc(pool, size)
                         : ffalloc_guarded_aligned_alloc(pool, 64, size);
        cr_assert(how == 2 || (uintptr_t)block % 64 == 0);
    } else {
        size = sizes[slot];
    }
    slots[slot] = block;
    sizes[slot] = size;
    if (block)
        memset(block, (int)slot, size);
}

Test(guarded, tells_of_nothing_else)
{
    struct ffalloc_pool *pool = start();
    unsigned seed = 1;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        change(pool, seed >> 8 & 63, seed >> 16 & 3, seed >> 20 & 0x1ff);
    }
    ffalloc_guarded_check(pool);
    cr_assert(told_count == 0 && ffalloc_check(pool, NULL));
}

Test(guarded, keeps_the_rules_of_the_core)
{
    struct ffalloc_pool *pool = start();
    unsigned char *zeroed = ffalloc_guarded_calloc(pool, 10, 7);
    for (size_t i = 0; i < 70; i++)
        cr_assert(zeroed[i] == 0);
    cr_assert(!ffalloc_guarded_calloc(pool, SIZE_MAX / 2, 3));
    cr_assert(!ffalloc_guarded_malloc(pool, SIZE_MAX));
    cr_assert(!ffalloc_guarded_malloc(pool, SIZE_MAX - FFALLOC_GUARD_SIZE));
    cr_assert(!ffalloc_guarded_malloc(pool, sizeof memory));
    ffalloc_guarded_free(pool, NULL);
    cr_assert(ffalloc_guarded_release(pool, zeroed) == 70);
    cr_assert(ffalloc_guarded_release(pool, zeroed) == 0);
    cr_assert(ffalloc_guarded_usable_size(pool, memory) == 0);
    cr_assert(!ffalloc_guarded_realloc(pool, zeroed, 10));
    cr_assert(told_count == 0);
}
