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
#include "record.h"

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

__attribute__((always_inline)) static inline void *request(const char *call, size_t size,
                                                           struct caller caller)
{
    record_begin();
    void *block = heap_is_bare_and_single() ? ffalloc_malloc(heap.shards[0].pool, size) : NULL;
    if (!block && heap_allows(size))
        block = heap_malloc(size);
    record_end((struct event){block ? RING_MALLOC : RING_FAILED, block, NULL, size, 0}, caller);
    return block ? settle(block, size) : heap_refuse(call, size);
}

/* `alignment` is a power of two. */
__attribute__((always_inline)) static inline void *
request_aligned(const char *call, size_t alignment, size_t size, struct caller caller)
{
    if (heap_is_plain_and_single()) {
        void *block = ffalloc_aligned_alloc(heap.shards[0].pool, alignment, size);
        if (likely(block))
            return block;
        if (heap_is_plain_and_one_pool())
            return heap_refuse(call, size);
    }
    record_begin();
    void *block = heap_allows(size) ? heap_aligned_alloc(alignment, size) : NULL;
    record_end((struct event){block ? RING_ALIGNED : RING_FAILED, block, NULL, size, alignment},
               caller);
    return block ? settle(block, size) : heap_refuse(call, size);
}

__attribute__((noinline)) static void *malloc_long(size_t size)
{
    void *block = heap_home_malloc(size);
    if (block)
        return block;
    if (heap_is_plain_and_one_pool() && heap_home)
        return heap_refuse("malloc", size);
    if (is_passed_through())
        return __libc_malloc(size);
    return request("malloc", size, CALLER);
}

EXPORT void *malloc(size_t size)
{
    if (heap_is_plain_and_single()) {
        void *block = ffalloc_malloc(heap.shards[0].pool, size);
        if (likely(block))
            return block;
        if (heap_is_plain_and_one_pool())
            return heap_refuse("malloc", size);
    }
    if (heap.watchers.valgrind)
        return request("malloc", size, CALLER_SITE);
    return malloc_long(size);
}

/* A pointer that is not ours to free was reported; else it is freed and that is recorded. */
__attribute__((always_inline)) static inline void release_watched(void *block, struct caller caller)
{
    record_begin();
    uint64_t misuse_count = heap.misuse_count;
    size_t size = heap.options.fill >= 0 ? heap_usable_size(block) : 0;
    annotate_free(heap.watchers, block);
    if (heap.misuse_count == misuse_count) {
        if (size > 0 && !heap.watchers.valgrind && !heap.watchers.asan)
            memset(block, heap.options.fill, size);
        if (heap_is_bare_and_single() && heap_is_in_first(block))
            heap_note_freed(&heap.shards[0], ffalloc_release(heap.shards[0].pool, block));
        else
            heap_free(block);
    }
    bool is_done = heap.misuse_count == misuse_count;
    record_end((struct event){is_done ? RING_FREE : RING_NOTHING, block, NULL, 0, 0}, caller);
}

__attribute__((noinline)) static void release_long(void *block)
{
    if (!block || heap_home_free(block))
        return;
    if (is_passed_through())
        __libc_free(block);
    else
        release_watched(block, CALLER);
}

__attribute__((always_inline)) static inline void release(void *block)
{
    if (heap_is_plain_and_single() && heap_is_in_first(block))
        heap_note_freed(&heap.shards[0], ffalloc_release(heap.shards[0].pool, block));
    else if (heap.watchers.valgrind && block)
        release_watched(block, CALLER_SITE);
    else
        release_long(block);
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

/* Under a watcher the memory is not ours to clear before it has been told. */
__attribute__((always_inline)) static inline void *request_zeroed(size_t size, struct caller caller)
{
    bool is_watched = heap.watchers.valgrind || heap.watchers.asan;
    record_begin();
    void *block = !heap_allows(size) ? NULL : is_watched ? heap_malloc(size) : heap_calloc(size);
    record_end((struct event){block ? RING_CALLOC : RING_FAILED, block, NULL, size, 0}, caller);
    if (!block)
        return heap_refuse("calloc", size);
    if (is_watched) {
        annotate_alloc(heap.watchers, block, size, true);
        memset(block, 0, size);
    }
    return block;
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        total = SIZE_MAX;
    if (heap_is_plain_and_single() && total < CLEAR_BY_PURGE) {
        void *block = ffalloc_calloc(heap.shards[0].pool, 1, total);
        if (likely(block))
            return block;
        if (heap_is_plain_and_one_pool())
            return heap_refuse("calloc", total);
    }
    if (is_passed_through())
        return __libc_calloc(count, size);
    return request_zeroed(total, CALLER);
}

/* The usual case of move_or_resize; NULL with nothing done where it does not apply, or after a
 * misuse was told. */
__attribute__((always_inline)) static inline void *move_or_resize_plainly(void *block, size_t size)
{
    if (!heap_is_plain_and_single() || !heap_is_in_first(block))
        return NULL;
    struct shard *shard = &heap.shards[0];
    uint64_t misuse_count = heap.misuse_count;
    if (ffalloc_resize(shard->pool, block, size))
        return block;
    if (heap.misuse_count != misuse_count)
        return NULL;
    void *moved = ffalloc_malloc(shard->pool, size);
    if (!moved)
        return NULL;
    size_t before = ffalloc_usable_size(shard->pool, block);
    memcpy(moved, block, before < size ? before : size);
    heap_note_freed(shard, ffalloc_release(shard->pool, block));
    return moved;
}

/* realloc of a live block to a size above 0; NULL if it cannot be, or is not live. */
__attribute__((always_inline)) static inline void *move_or_resize(const char *call, void *block,
                                                                  size_t size)
{
    uint64_t misuse_count = heap.misuse_count;
    heap_call = call;
    void *done = move_or_resize_plainly(block, size);
    size_t usable_size = done || heap.misuse_count != misuse_count ? 0 : heap_usable_size(block);
    heap_call = NULL;
    if (done)
        return done;
    if (heap.misuse_count != misuse_count) {
        annotate_free(heap.watchers, block); /* for Valgrind to report it too */
        return NULL;
    }
    if (!heap_allows(size))
        return NULL;
    size_t before = annotate_requested_size(heap.watchers, block, usable_size);
    if (heap_resize(block, size)) {
        annotate_resize(heap.watchers, block, before, size,
                        size > usable_size ? size : usable_size);
        return block;
    }
    void *moved = heap_malloc(size);
    if (!moved)
        return NULL;
    settle(moved, size);
    memcpy(moved, block, before < size ? before : size);
    annotate_free(heap.watchers, block);
    heap_free(block);
    return moved;
}

__attribute__((always_inline)) static inline void *reallocate(const char *call, void *block,
                                                              size_t size, struct caller caller)
{
    if (!block)
        return request(call, size, caller);
    if (size == 0) {
        release(block);
        return NULL;
    }
    record_begin();
    uint64_t misuse_count = heap.misuse_count;
    void *moved = move_or_resize(call, block, size);
    bool is_misuse = heap.misuse_count != misuse_count;
    enum ring_op op = is_misuse ? RING_NOTHING : moved ? RING_REALLOC : RING_FAILED;
    record_end((struct event){op, moved, block, size, 0}, caller);
    return moved || is_misuse ? moved : heap_refuse(call, size);
}

EXPORT void *realloc(void *block, size_t size)
{
    if (is_passed_through())
        return __libc_realloc(block, size);
    return reallocate("realloc", block, size, CALLER);
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
    return reallocate("reallocarray", block, total, CALLER);
}

EXPORT int posix_memalign(void **result, size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno;
    void *block = is_passed_through() ? __libc_memalign(alignment, size)
                                      : request_aligned("posix_memalign", alignment, size, CALLER);
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
    return request_aligned("memalign", power, size, CALLER);
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
    return request_aligned("aligned_alloc", alignment, size, CALLER);
}

EXPORT void *valloc(size_t size)
{
    if (is_passed_through())
        return __libc_valloc(size);
    return request_aligned("valloc", heap.page_size, size, CALLER);
}

EXPORT void *pvalloc(size_t size)
{
    if (is_passed_through())
        return __libc_pvalloc(size);
    size_t rounded = (size + heap.page_size - 1) & ~(heap.page_size - 1);
    if (rounded < size)
        return heap_refuse("pvalloc", size);
    return request_aligned("pvalloc", heap.page_size, rounded, CALLER);
}
