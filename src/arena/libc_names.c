/* SPDX-License-Identifier: MIT */
/* malloc and its family over the arena: C's and POSIX's rules for arguments and errno. */
#include <stdint.h>

#include "served.h"
#include "watchers.h"

/* Linux's numbers, which glibc, musl, newlib and picolibc share. */
#define ERROR_NO_MEMORY 12
#define ERROR_INVALID   22

/* For valloc and pvalloc: firmware has no pages, and a desktop's are these. */
#define PAGE_SIZE ((size_t)4096)

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void *reallocarray(void *block, size_t count, size_t size);
void *memalign(size_t alignment, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
int posix_memalign(void **result, size_t alignment, size_t size);
void *valloc(size_t size);
void *pvalloc(size_t size);
size_t malloc_usable_size(void *block);
void free(void *block);
void cfree(void *block);
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);

const char ffalloc_arena_malloc = 1;

__attribute__((weak)) int *__errno_location(void); /* glibc, musl */
__attribute__((weak)) int *__errno(void);          /* newlib, picolibc */

static void *fail(int error)
{
    if (__errno_location)
        *__errno_location() = error;
    else if (__errno)
        *__errno() = error;
    return NULL;
}

static bool is_power_of_two(size_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

/* SIZE_MAX, which no arena has, for what overflows: the pool refuses it, and tells the hook. */
static size_t total_of(size_t count, size_t size)
{
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? SIZE_MAX : total;
}

/* Around every call. What lies between blocks is ours to read and write. */
static void enter(void)
{
    ffalloc_arena_lock();
    annotate_enter(ffalloc_arena_watchers);
}

static void leave(void)
{
    annotate_leave(ffalloc_arena_watchers);
    ffalloc_arena_unlock();
}

/* A block at any alignment up to the granule if `alignment` is 1; NULL if there is none. */
static void *place(size_t alignment, size_t size)
{
    ffalloc_arena_lock();
    struct ffalloc_pool *pool = ffalloc_arena_pool();
    annotate_enter(ffalloc_arena_watchers);
    void *block = pool ? serve_aligned_alloc(pool, alignment, size) : NULL;
    leave();
    return block;
}

__attribute__((always_inline)) static inline void *request(size_t alignment, size_t size)
{
    void *block = place(alignment, size);
    if (!block)
        return fail(ERROR_NO_MEMORY);
    annotate_alloc(ffalloc_arena_watchers, block, size, false);
    return block;
}

/* Returns its size, 0 if it was no block. */
static size_t give_back(void *block)
{
    enter();
    size_t size = serve_release(ffalloc_arena_pool(), block);
    if (ffalloc_arena_watchers.asan && size > 0)
        annotate_forbid(ffalloc_arena_watchers, block, size);
    leave();
    return size;
}

__attribute__((always_inline)) static inline size_t release(void *block)
{
    if (!block)
        return 0;
    annotate_free(ffalloc_arena_watchers, block);
    return give_back(block);
}

/* A size above 0 was told of a block; it is freed all the same. */
__attribute__((always_inline)) static inline void release_sized(void *block, size_t size)
{
    size_t freed_size = release(block);
    if (freed_size == 0 || served_with(freed_size, size))
        return;
    ffalloc_arena_lock();
    ffalloc_arena_on_error(block, FFALLOC_WRONG_SIZE);
    ffalloc_arena_unlock();
}

static size_t usable_size(void *block)
{
    enter();
    size_t size = serve_usable_size(ffalloc_arena_pool(), block);
    leave();
    return size;
}

static bool resize(void *block, size_t size)
{
    enter();
    bool is_done = serve_resize(ffalloc_arena_pool(), block, size);
    leave();
    return is_done;
}

/* realloc of a block that is not NULL to a size above 0. */
__attribute__((always_inline)) static inline void *move_or_resize(void *block, size_t size)
{
    size_t usable = usable_size(block);
    if (usable == 0)
        return NULL;
    size_t before = annotate_requested_size(ffalloc_arena_watchers, block, usable);
    if (resize(block, size)) {
        annotate_resize(ffalloc_arena_watchers, block, before, size, size > usable ? size : usable);
        return block;
    }
    void *moved = request(1, size);
    if (!moved)
        return NULL;
    memcpy(moved, block, before < size ? before : size);
    release(block);
    return moved;
}

void *malloc(size_t size)
{
    return request(1, size);
}

void *calloc(size_t count, size_t size)
{
    size_t total = total_of(count, size);
    void *block = place(1, total);
    if (!block)
        return fail(ERROR_NO_MEMORY);
    annotate_alloc(ffalloc_arena_watchers, block, total, true);
    return memset(block, 0, total);
}

void *realloc(void *block, size_t size)
{
    if (!block)
        return request(1, size);
    if (size == 0) {
        release(block);
        return NULL;
    }
    return move_or_resize(block, size);
}

void *reallocarray(void *block, size_t count, size_t size)
{
    return realloc(block, total_of(count, size));
}

void *memalign(size_t alignment, size_t size)
{
    return is_power_of_two(alignment) ? request(alignment, size) : fail(ERROR_INVALID);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return is_power_of_two(alignment) ? request(alignment, size) : fail(ERROR_INVALID);
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return ERROR_INVALID;
    void *block = place(alignment, size);
    if (!block)
        return ERROR_NO_MEMORY;
    annotate_alloc(ffalloc_arena_watchers, block, size, false);
    *result = block;
    return 0;
}

void *valloc(size_t size)
{
    return request(PAGE_SIZE, size);
}

void *pvalloc(size_t size)
{
    size_t rounded = (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    return request(PAGE_SIZE, rounded < size ? SIZE_MAX : rounded);
}

size_t malloc_usable_size(void *block)
{
    return block ? annotate_requested_size(ffalloc_arena_watchers, block, usable_size(block)) : 0;
}

void free(void *block)
{
    release(block);
}

void cfree(void *block)
{
    release(block);
}

void free_sized(void *block, size_t size)
{
    release_sized(block, size);
}

void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    (void)alignment;
    release_sized(block, size);
}
