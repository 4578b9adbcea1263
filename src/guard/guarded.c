/* SPDX-License-Identifier: MIT */
/* The guards of guard.h over one pool, for firmware: without sites, quarantine or fill. */
#include "ffalloc/guarded.h"

#include "guard.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);

/* The largest there is: a pool does not tell its own cheaply. */
#define GRANULE_MOST 4096

_Static_assert(FFALLOC_GUARD_SIZE >= GUARD_LEAST, "a guard has two words at least");

uintptr_t ffalloc_guard_secret = (uintptr_t)0xb5297a4db5297a4du;

__attribute__((weak)) void ffalloc_guard_on_damage(struct ffalloc_pool *pool, void *block,
                                                   size_t size)
{
    (void)pool;
    (void)block;
    (void)size;
    __builtin_trap();
}

static inline struct guard guard_now(void)
{
    return (struct guard){FFALLOC_GUARD_SIZE, GRANULE_MOST, ffalloc_guard_secret, false};
}

/* Not inlined: this is for firmware, whose flash is small. */
__attribute__((noinline)) static void seal(unsigned char *block, size_t usable, size_t size)
{
    struct guard guard = guard_now();
    guard_seal(&guard, block, usable, size, 0);
}

__attribute__((noinline)) static void *placed(struct ffalloc_pool *pool, void *block, size_t size)
{
    if (block)
        seal(block, ffalloc_usable_size(pool, block), size);
    return block;
}

/* What was asked for in a block, its guard being whole, or made so after it was told. */
static size_t verify(struct ffalloc_pool *pool, unsigned char *block, size_t usable)
{
    struct guard guard = guard_now();
    size_t asked = guard_read(&guard, block, usable).asked;
    size_t size = asked;
    if (asked == SIZE_MAX) {
        asked = 0; /* nobody knows */
        size = usable - guard.size;
    } else if (guard_first_damaged(&guard, block, usable, size) == usable - GUARD_WORD) {
        return size;
    }
    ffalloc_guard_on_damage(pool, block, asked);
    seal(block, usable, size);
    return size;
}

static size_t gross_of(size_t size)
{
    struct guard guard = guard_now();
    return guard_gross(&guard, size);
}

void *ffalloc_guarded_aligned_alloc(struct ffalloc_pool *pool, size_t alignment, size_t size)
{
    size += !size;
    return placed(pool, ffalloc_aligned_alloc(pool, alignment, gross_of(size)), size);
}

bool ffalloc_guarded_start(struct ffalloc_pool *pool)
{
    return ffalloc_guarded_malloc(pool, 0);
}

void *ffalloc_guarded_malloc(struct ffalloc_pool *pool, size_t size)
{
    return ffalloc_guarded_aligned_alloc(pool, 1, size);
}

void *ffalloc_guarded_calloc(struct ffalloc_pool *pool, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        total = SIZE_MAX;
    void *block = ffalloc_guarded_malloc(pool, total);
    return block ? memset(block, 0, total) : NULL;
}

size_t ffalloc_guarded_usable_size(struct ffalloc_pool *pool, void *block)
{
    size_t usable = ffalloc_usable_size(pool, block);
    return usable ? verify(pool, block, usable) : 0;
}

bool ffalloc_guarded_resize(struct ffalloc_pool *pool, void *block, size_t size)
{
    size += !size;
    return ffalloc_guarded_usable_size(pool, block) &&
           ffalloc_resize(pool, block, gross_of(size)) && placed(pool, block, size);
}

size_t ffalloc_guarded_release(struct ffalloc_pool *pool, void *block)
{
    size_t size = ffalloc_guarded_usable_size(pool, block);
    if (size)
        ffalloc_free(pool, block);
    return size;
}

void ffalloc_guarded_free(struct ffalloc_pool *pool, void *block)
{
    ffalloc_guarded_release(pool, block);
}

void *ffalloc_guarded_realloc(struct ffalloc_pool *pool, void *block, size_t size)
{
    if (!block)
        return ffalloc_guarded_malloc(pool, size);
    size_t before = ffalloc_guarded_usable_size(pool, block);
    if (!before)
        return NULL;
    if (ffalloc_guarded_resize(pool, block, size))
        return block;
    void *moved = ffalloc_guarded_malloc(pool, size);
    if (!moved)
        return NULL;
    memcpy(moved, block, before < size ? before : size);
    ffalloc_free(pool, block);
    return moved;
}

static bool check(void *pool, const struct ffalloc_block *block)
{
    if (block->is_used)
        verify(pool, block->address, block->size);
    return true;
}

void ffalloc_guarded_check(struct ffalloc_pool *pool)
{
    ffalloc_walk(pool, check, pool);
}
