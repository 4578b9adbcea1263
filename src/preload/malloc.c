/* SPDX-License-Identifier: MIT */
/*
 * The exported names: glibc's rules for arguments and errno, and the notes to Valgrind, which
 * takes the function that makes them for the top of its stacks. Everything else is in heap.c.
 *
 * glibc's rules: errno is ENOMEM when a request fails and untouched by free; sizes above
 * PTRDIFF_MAX fail; malloc(0) is a block; realloc(NULL, n) is malloc(n), realloc(p, 0) frees and
 * returns NULL; posix_memalign returns its error and leaves errno alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "libc.h"

#define EXPORT __attribute__((visibility("default")))

#define likely(condition) __builtin_expect(!!(condition), 1)

static inline bool is_passed_through(void)
{
    if (!heap.is_started)
        heap_start();
    return heap.options.is_passed_through;
}

static inline bool is_power_of_two(size_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

/* After a block was placed: the watchers are told, and the contents spoiled if so wished. */
__attribute__((always_inline)) static inline void *settle(void *block, size_t size)
{
    annotate_alloc(heap.watchers, block, size, false);
    if (heap.options.fill >= 0)
        memset(block, heap.options.fill ^ 0xff, size);
    return block;
}

__attribute__((always_inline)) static inline void *request(const char *call, size_t size)
{
    void *block = heap_allows(size) ? heap_malloc(size) : NULL;
    return block ? settle(block, size) : heap_refuse(call, size);
}

/* `alignment` is a power of two. */
__attribute__((always_inline)) static inline void *request_aligned(const char *call,
                                                                   size_t alignment, size_t size)
{
    void *block = heap_allows(size) ? heap_aligned_alloc(alignment, size) : NULL;
    return block ? settle(block, size) : heap_refuse(call, size);
}

__attribute__((noinline)) static void *malloc_long(size_t size)
{
    void *block = heap_home_malloc(size);
    if (block)
        return block;
    if (is_passed_through())
        return __libc_malloc(size);
    return NULL;
}

EXPORT void *malloc(size_t size)
{
    void *block =
        heap_is_plain_and_single() ? ffalloc_malloc(heap.shards[0].pool, size) : malloc_long(size);
    return likely(block) || heap.options.is_passed_through ? block : request("malloc", size);
}

__attribute__((always_inline)) static inline void release(void *block)
{
    if (heap_is_plain_and_single() && heap_is_in_first(block)) {
        heap_note_freed(&heap.shards[0], ffalloc_release(heap.shards[0].pool, block));
        return;
    }
    if (!block || heap_home_free(block))
        return;
    if (is_passed_through()) {
        __libc_free(block);
        return;
    }
    size_t misuse_count = heap.misuse_count;
    size_t size = heap.options.fill >= 0 ? heap_usable_size(block) : 0;
    annotate_free(heap.watchers, block);
    if (heap.misuse_count != misuse_count)
        return;
    if (size > 0 && !heap.watchers.valgrind && !heap.watchers.asan)
        memset(block, heap.options.fill, size);
    heap_free(block);
}

EXPORT void free(void *block)
{
    release(block);
}

EXPORT void cfree(void *block)
{
    release(block);
}

EXPORT void free_sized(void *block, size_t size)
{
    (void)size;
    release(block);
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    release(block);
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t total;
    bool is_too_much = __builtin_mul_overflow(count, size, &total);
    if (is_passed_through())
        return __libc_calloc(count, size);
    if (is_too_much || !heap_allows(total))
        return heap_refuse("calloc", is_too_much ? SIZE_MAX : total);
    /* Under a watcher the memory is not ours to clear before it has been told. */
    bool is_watched = heap.watchers.valgrind || heap.watchers.asan;
    void *block = is_watched ? heap_malloc(total) : heap_calloc(total);
    if (!block)
        return heap_refuse("calloc", total);
    if (is_watched) {
        annotate_alloc(heap.watchers, block, total, true);
        memset(block, 0, total);
    }
    return block;
}

/* realloc of a live block to a size above 0. */
__attribute__((always_inline)) static inline void *move_or_resize(const char *call, void *block,
                                                                  size_t size)
{
    uint64_t misuse_count = heap.misuse_count;
    heap_call = call;
    bool is_done = heap_is_plain_and_single() && heap_is_in_first(block) &&
                   ffalloc_resize(heap.shards[0].pool, block, size);
    size_t usable_size = is_done || heap.misuse_count != misuse_count ? 0 : heap_usable_size(block);
    heap_call = NULL;
    if (is_done)
        return block;
    if (heap.misuse_count != misuse_count) {
        annotate_free(heap.watchers, block); /* for Valgrind to report it too */
        return NULL;
    }
    if (!heap_allows(size))
        return heap_refuse(call, size);
    size_t before = annotate_requested_size(heap.watchers, block, usable_size);
    if (heap_resize(block, size)) {
        annotate_resize(heap.watchers, block, before, size,
                        size > usable_size ? size : usable_size);
        return block;
    }
    void *moved = heap_malloc(size);
    if (!moved)
        return heap_refuse(call, size);
    settle(moved, size);
    memcpy(moved, block, before < size ? before : size);
    annotate_free(heap.watchers, block);
    heap_free(block);
    return moved;
}

EXPORT void *realloc(void *block, size_t size)
{
    if (is_passed_through())
        return __libc_realloc(block, size);
    if (!block)
        return request("realloc", size);
    if (size == 0) {
        release(block);
        return NULL;
    }
    return move_or_resize("realloc", block, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    if (is_passed_through())
        return __libc_realloc(block, total);
    if (!block)
        return request("reallocarray", total);
    if (total == 0) {
        release(block);
        return NULL;
    }
    return move_or_resize("reallocarray", block, total);
}

EXPORT int posix_memalign(void **result, size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno;
    void *block = is_passed_through() ? __libc_memalign(alignment, size)
                                      : request_aligned("posix_memalign", alignment, size);
    errno = saved;
    if (!block)
        return ENOMEM;
    *result = block;
    return 0;
}

/* As glibc's, which raises an alignment that is no power of two to the next one, and refuses one
 * of more than half the address space. */
EXPORT void *memalign(size_t alignment, size_t size)
{
    if (is_passed_through())
        return __libc_memalign(alignment, size);
    if (alignment > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = sizeof(void *);
    while (power < alignment)
        power <<= 1;
    return request_aligned("memalign", power, size);
}

/* glibc 2.36 takes aligned_alloc for memalign; 2.38 refuses what is no power of two. The second
 * is what C11 says. */
EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    if (is_passed_through())
        return __libc_memalign(alignment, size);
    return request_aligned("aligned_alloc", alignment, size);
}

EXPORT void *valloc(size_t size)
{
    if (is_passed_through())
        return __libc_valloc(size);
    return request_aligned("valloc", heap.page_size, size);
}

EXPORT void *pvalloc(size_t size)
{
    if (is_passed_through())
        return __libc_pvalloc(size);
    size_t rounded = (size + heap.page_size - 1) & ~(heap.page_size - 1);
    if (rounded < size)
        return heap_refuse("pvalloc", size);
    return request_aligned("pvalloc", heap.page_size, rounded);
}
