/* SPDX-License-Identifier: MIT */
/*
 * The exported names: glibc's rules for arguments and errno. Each ends with one of three ways: the
 * plain one, the core's call or a function of its own with nothing but that in it; the long one for
 * all else; and under Valgrind the long one inside the exported function itself (request.h).
 *
 * glibc's rules: errno is ENOMEM when a request fails and untouched by free; sizes above
 * PTRDIFF_MAX fail; malloc(0) is a block; realloc(NULL, n) is malloc(n), realloc(p, 0) frees and
 * returns NULL; posix_memalign returns its error, and ENOMEM also stands in errno.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libc.h"
#include "next.h"
#include "request.h"

__attribute__((noinline)) static void *malloc_long(size_t size)
{
    if (is_passed_through())
        return __libc_malloc(size);
    return request("malloc", size, CALLER);
}

/* With several threads. */
__attribute__((noinline)) static void *malloc_at_home(struct shard *home, size_t size)
{
    if (size >= LEAST_LARGE)
        return malloc_long(size);
    heap_lock_surely(home);
    void *block = ffalloc_malloc(home->pool, size);
    lock_give(&home->lock);
    if (likely(block))
        return block;
    return heap_is_plain_and_one_pool() ? heap_refuse("malloc", size) : malloc_long(size);
}

EXPORT void *malloc(size_t size)
{
    if (heap_is_plain_and_single() && likely(size < LEAST_LARGE))
        return ffalloc_malloc(heap.plain_pool, size);
    if (likely(heap_plain_home) && heap_is_size(size))
        return malloc_at_home(heap_plain_home, size);
    if (!heap.watchers.valgrind)
        return malloc_long(size);
    LONG_WAY(size);
    return request("malloc", size, CALLER_SITE);
}

extern __typeof__(malloc) malloc_here __attribute__((alias("malloc"), nothrow, leaf, malloc));

__attribute__((noinline)) static void release_long(void *block)
{
    if (next_owns(block))
        next_free(block);
    else if (is_passed_through())
        __libc_free(block);
    else
        release_watched(block, CALLER);
}

static void release_at_home(struct shard *home, void *block);

/* While a sample is due, which requests wait for and frees need not: whether the block was the
 * pool's, and freed. */
static bool is_released_while_due(void *block)
{
    struct shard *home = heap_home;
    if (!heap.sampled_pool || !home || !heap_is_in_home(home, block))
        return false;
    if (!__libc_single_threaded) {
        release_at_home(home, block);
        return true;
    }
    if (heap_is_look_due(home))
        heap_look(home);
    ffalloc_free(home->pool, block);
    return true;
}

void heap_free_elsewhere(void *block)
{
    if (block && !is_released_while_due(block) && !heap_leave_to_owner(block))
        release_long(block);
}

/* With several threads, after a call of free. */
static inline void unlock_and_look(struct shard *home)
{
    bool is_due = heap_is_look_due(home);
    lock_give(&home->lock);
    if (is_due)
        heap_look(home);
}

/* With several threads. */
__attribute__((noinline)) static void release_at_home(struct shard *home, void *block)
{
    if (!heap_is_in_home(home, block)) {
        heap_free_elsewhere(block);
        return;
    }
    heap_lock_surely(home);
    ffalloc_free(home->pool, block);
    unlock_and_look(home);
}

__attribute__((noinline)) static void release_and_look(void *block)
{
    heap_look(&heap.shards[0]); /* from which on it may be another way */
    ffalloc_free(heap.shards[0].pool, block);
}

__attribute__((always_inline)) static inline void release(void *block)
{
    if (heap_is_plain_and_single()) {
        if (heap_is_look_due(&heap.shards[0]))
            release_and_look(block);
        else
            ffalloc_free(heap.plain_pool, block);
    } else if (likely(heap_plain_home)) {
        release_at_home(heap_plain_home, block);
    } else if (!heap.watchers.valgrind || !block) {
        heap_free_elsewhere(block);
    } else {
        LONG_WAY(block);
        release_watched(block, CALLER_SITE);
    }
}

EXPORT void free(void *block)
{
    release(block);
}

extern __typeof__(free) free_here __attribute__((alias("free"), nothrow, leaf));

EXPORT void cfree(void *block)
{
    release(block);
}

/* `freed` is the size of a block that was freed, 0 if it was none. */
static inline void see_size(const char *call, const void *block, size_t size, size_t freed)
{
    if (!likely(freed == 0 || heap_is_size_of(freed, size)))
        heap_report_size(call, block, size, freed);
}

/* With several threads. What another thread's pool has is not looked at there. */
__attribute__((noinline)) static void release_sized(const char *call, void *block, size_t size)
{
    struct shard *home = heap_plain_home;
    if (!home || !heap_is_in_home(home, block)) {
        if (!heap.plain_pool)
            heap_check_size(call, block, size);
        free(block);
        return;
    }
    heap_lock_surely(home);
    size_t freed = ffalloc_release(home->pool, block);
    unlock_and_look(home);
    see_size(call, block, size, freed);
}

__attribute__((noinline)) static void look_first(void)
{
    heap_look(&heap.shards[0]);
}

void heap_free_sized(const char *call, void *block, size_t size)
{
    if (!heap_is_plain_and_single()) {
        release_sized(call, block, size);
        return;
    }
    if (heap_is_look_due(&heap.shards[0]))
        look_first();
    see_size(call, block, size, ffalloc_release(heap.shards[0].pool, block));
}

EXPORT void free_sized(void *block, size_t size)
{
    heap_free_sized("free_sized", block, size);
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    (void)alignment;
    heap_free_sized("free_aligned_sized", block, size);
}

/* SIZE_MAX, which none has, for what overflows. */
static inline size_t total_of(size_t count, size_t size)
{
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? SIZE_MAX : total;
}

__attribute__((noinline)) static void *calloc_long(size_t size)
{
    if (is_passed_through())
        return __libc_calloc(1, size);
    return request_zeroed(size, CALLER);
}

__attribute__((noinline)) static void *calloc_plainly(size_t count, size_t item_size)
{
    size_t size = total_of(count, item_size);
    if (size >= LEAST_LARGE)
        return calloc_long(size);
    heap_call = heap_calloc_name;
    void *block = ffalloc_calloc(heap.plain_pool, 1, size);
    heap_call = NULL;
    return block;
}

__attribute__((noinline)) static void *calloc_at_home(struct shard *home, size_t count,
                                                      size_t item_size)
{
    size_t size = total_of(count, item_size);
    if (size >= LEAST_LARGE)
        return calloc_long(size);
    heap_lock_surely(home);
    void *block = ffalloc_calloc(home->pool, 1, size);
    lock_give(&home->lock);
    if (likely(block))
        return block;
    return heap_is_plain_and_one_pool() ? heap_refuse("calloc", size) : calloc_long(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    if (heap_is_plain_and_single())
        return calloc_plainly(count, size);
    if (likely(heap_plain_home))
        return calloc_at_home(heap_plain_home, count, size);
    size_t total = total_of(count, size);
    if (!heap.watchers.valgrind)
        return calloc_long(total);
    LONG_WAY(total);
    return request_zeroed(total, CALLER_SITE);
}

/* realloc of a live block of `usable_size` to a size above 0; NULL if it cannot be. */
__attribute__((always_inline)) static inline void *move_or_resize(void *block, size_t usable_size,
                                                                  size_t size)
{
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
        if (!heap_leave_to_owner(block))
            release_watched(block, caller);
        return NULL;
    }
    record_begin(caller);
    note_site(caller);
    heap_call = call;
    size_t usable_size = heap_usable_size(block);
    heap_call = NULL;
    bool is_block = usable_size != HEAP_NO_BLOCK; /* or that was told */
    void *moved = is_block ? move_or_resize(block, usable_size, size) : NULL;
    if (!is_block)
        annotate_free(heap.watchers, block); /* for Valgrind to report it too */
    enum ring_op op = !is_block ? RING_NOTHING : moved ? RING_REALLOC : RING_FAILED;
    record_end((struct event){op, moved, block, size, 0}, caller);
    return moved || !is_block ? moved : heap_refuse(call, size);
}

__attribute__((noinline)) static void *reallocate_long(const char *call, void *block, size_t size)
{
    if (next_owns(block))
        return next_realloc(block, size);
    if (is_passed_through())
        return __libc_realloc(block, size);
    return reallocate(call, block, size, CALLER);
}

static bool is_block_of(const struct ffalloc_pool *pool, const void *address)
{
    struct ffalloc_block found;
    return ffalloc_find(pool, address, &found) && found.is_used && found.address == address;
}

__attribute__((noinline)) static void *reallocate_plainly(const char *call, void *block,
                                                          size_t size)
{
    heap_call = call;
    void *done = ffalloc_realloc(heap.plain_pool, block, size);
    heap_call = NULL;
    if (!likely(done)) /* what is no block was told */
        return block && !is_block_of(heap.shards[0].pool, block)
                   ? NULL
                   : reallocate_long(call, block, size);
    heap_note_large(done, size);
    if (block && done != block && heap_is_look_due(&heap.shards[0]))
        heap_look(&heap.shards[0]);
    return done;
}

/* With several threads. The lock is not held while the contents are copied. */
__attribute__((noinline)) static void *reallocate_at_home(struct shard *home, const char *call,
                                                          void *block, size_t size)
{
    heap_call = call;
    heap_lock_surely(home);
    size_t before = block ? ffalloc_usable_size(home->pool, block) : 0;
    bool is_told = block && before == 0; /* it is no block */
    void *done = before > 0 && ffalloc_resize(home->pool, block, size) ? block : NULL;
    if (!done && !is_told)
        done = ffalloc_malloc(home->pool, size);
    unlock_and_look(home); /* it may be smaller now */
    heap_call = NULL;
    if (!likely(done))
        return is_told ? NULL : reallocate_long(call, block, size);
    if (before == 0 || done == block)
        return done;
    memcpy(done, block, before < size ? before : size);
    heap_lock_surely(home);
    ffalloc_free(home->pool, block);
    unlock_and_look(home);
    return done;
}

__attribute__((always_inline)) static inline void *reallocate_any(const char *call, void *block,
                                                                  size_t size)
{
    if (size - 1 < PTRDIFF_MAX) {
        struct shard *home = heap_plain_home;
        if (heap_is_plain_and_single() && (!block || heap_is_in_first(block)))
            return reallocate_plainly(call, block, size);
        if (home && !__libc_single_threaded && size < LEAST_LARGE &&
            (!block || heap_is_in_home(home, block)))
            return reallocate_at_home(home, call, block, size);
    }
    if (!heap.watchers.valgrind)
        return reallocate_long(call, block, size);
    LONG_WAY(block);
    LONG_WAY(size);
    return reallocate(call, block, size, CALLER_SITE);
}

EXPORT void *realloc(void *block, size_t size)
{
    return reallocate_any("realloc", block, size);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    return reallocate_any("reallocarray", block, total_of(count, size));
}
