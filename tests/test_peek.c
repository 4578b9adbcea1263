/* SPDX-License-Identifier: MIT */
/* What src/preload reads of a pool without its lock is what the public calls say, where it can be
 * told. */
#include "../src/peek/peek.h"

#include "ffalloc/ffalloc.h"
#include "unit.h"

#define SLOTS     300
#define LEAF_SIZE (8 * sizeof(size_t) * 2 * sizeof(size_t)) /* bytes, at the default granule */

static _Alignas(64) unsigned char memory[1 << 20];
static unsigned char *slots[SLOTS];
static size_t freed_size;

static void change(struct ffalloc_pool *pool, unsigned char **slot, size_t size)
{
    if (*slot) {
        freed_size += ffalloc_release(pool, *slot);
        *slot = NULL;
        return;
    }
    *slot = ffalloc_malloc(pool, size);
}

/* A block that may end beyond the next leaf is not told. */
static void compare(const struct ffalloc_pool *pool, const unsigned char *block)
{
    size_t size = ffalloc_usable_size(pool, block);
    size_t peeked = ffalloc_peek_usable_size(pool, block);
    cr_assert(peeked == size || (peeked == 0 && size > LEAF_SIZE));
    cr_assert(ffalloc_peek_usable_size(pool, block + 1) == 0);
}

Test(peek, agrees_with_the_public_calls)
{
    struct ffalloc_pool *pool = ffalloc_init(memory, sizeof memory);
    unsigned seed = 1;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        change(pool, &slots[(seed >> 8) % SLOTS], seed >> 16 & (seed & 64 ? 0x3fff : 0xff));
        if (slots[i % SLOTS])
            compare(pool, slots[i % SLOTS]);
        struct ffalloc_marks marks;
        ffalloc_marks(pool, &marks);
        cr_assert(ffalloc_peek_used_size(pool) == marks.used_size);
        cr_assert(ffalloc_peek_freed_size(pool) == freed_size);
    }
    cr_assert(ffalloc_peek_usable_size(pool, memory) == 0);
    cr_assert(ffalloc_peek_usable_size(pool, memory + sizeof memory) == 0);
}
