/* SPDX-License-Identifier: MIT */
/*
 * The long way of the exported calls, for each to be compiled into itself: it makes the notes to
 * Valgrind, which takes the function that makes them for the top of its stacks.
 */
#ifndef FFALLOC_PRELOAD_REQUEST_H
#define FFALLOC_PRELOAD_REQUEST_H

#include <string.h>

#include "heap.h"
#include "recording.h"

#define likely(condition) __builtin_expect(!!(condition), 1)

/* Of a parameter, at the start of the long way: it is another variable from here on. Else gcc would
 * keep it in a register that the short way has to save, too. */
#define LONG_WAY(parameter) __asm__("" : "+r"(parameter))

static inline bool is_passed_through(void)
{
    if (!heap.is_started)
        heap_start();
    return heap.options.is_passed_through;
}

/* For what guards and samples say of a block. */
static inline void note_site(struct caller caller)
{
    if (__builtin_expect(heap.guards.has_guards, 0))
        guards_site = caller.site;
    if (__builtin_expect(sampling.size > 0, 0))
        sample_caller = caller;
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
    record_begin(caller);
    note_site(caller);
    void *block = heap_is_recorded_and_single() && heap_is_size(size)
                      ? ffalloc_malloc(heap.shards[0].pool, size)
                      : NULL;
    if (!block && heap_allows(size))
        block = heap_malloc(size);
    record_end((struct event){block ? RING_MALLOC : RING_FAILED, block, NULL, size, 0}, caller);
    return block ? settle(block, size) : heap_refuse(call, size);
}

/* `alignment` is a power of two. */
__attribute__((always_inline)) static inline void *
request_aligned(const char *call, size_t alignment, size_t size, struct caller caller)
{
    record_begin(caller);
    note_site(caller);
    void *block = heap_allows(size) ? heap_aligned_alloc(alignment, size) : NULL;
    record_end((struct event){block ? RING_ALIGNED : RING_FAILED, block, NULL, size, alignment},
               caller);
    return block ? settle(block, size) : heap_refuse(call, size);
}

/* A pointer that is not ours to free was reported; else it is freed and that is recorded. */
__attribute__((always_inline)) static inline void release_watched(void *block, struct caller caller)
{
    record_begin(caller);
    note_site(caller);
    annotate_free(heap.watchers, block);
    bool is_done = heap_free(block);
    record_end((struct event){is_done ? RING_FREE : RING_NOTHING, block, NULL, 0, 0}, caller);
}

/* Under a watcher the memory is not ours to clear before it has been told. */
__attribute__((always_inline)) static inline void *request_zeroed(size_t size, struct caller caller)
{
    bool is_watched = heap.watchers.valgrind || heap.watchers.asan;
    record_begin(caller);
    note_site(caller);
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

#endif
