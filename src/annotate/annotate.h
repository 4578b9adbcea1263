/* SPDX-License-Identifier: MIT */
/*
 * Tells Valgrind and AddressSanitizer which bytes of a pool are a program's to use.
 *
 * Valgrind: client requests (a few instructions, no effect outside Valgrind), made only if the
 * process was seen to run under it. Blocks are MALLOCLIKE, not members of a MEMPOOL, which
 * would lose leaks and the names of blocks. Each request is made in the exported function
 * itself, so that the stack in a report begins with malloc or free.
 *
 * AddressSanitizer: weak references to its runtime, so that a library compiled without it works
 * in any program compiled with it.
 *
 * Neither needs a size kept beside the block: which bytes of a block are accessible tells what
 * was asked for.
 */
#ifndef FFALLOC_ANNOTATE_H
#define FFALLOC_ANNOTATE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef FFALLOC_VALGRIND
#include <valgrind/memcheck.h>
#else
#define RUNNING_ON_VALGRIND                                           0
#define VALGRIND_MALLOCLIKE_BLOCK(address, size, redzone, is_zeroed)  (void)(is_zeroed)
#define VALGRIND_FREELIKE_BLOCK(address, redzone)                     (void)(address)
#define VALGRIND_RESIZEINPLACE_BLOCK(address, before, after, redzone) (void)(before)
#define VALGRIND_MAKE_MEM_NOACCESS(address, size)                     (void)(address)
#define VALGRIND_GET_VBITS(address, bits, size)                       (*(bits) = 0, 0)
#define VALGRIND_DO_LEAK_CHECK                                        (void)0
#define VALGRIND_DISABLE_ERROR_REPORTING                              (void)0
#define VALGRIND_ENABLE_ERROR_REPORTING                               (void)0
#endif

__attribute__((weak)) void __asan_poison_memory_region(const volatile void *address, size_t size);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void *address, size_t size);
__attribute__((weak)) void *__asan_region_is_poisoned(void *address, size_t size);
__attribute__((weak)) void *__asan_get_report_address(void);
__attribute__((weak)) void __lsan_register_root_region(const void *address, size_t size);

__attribute__((weak)) void __tsan_init(void);

/* Who watches this process; neither is the usual case, in which nothing below is called. */
struct watchers {
    bool valgrind;
    bool asan; /* its shadow memory is ready */
};

static inline bool annotate_has_asan(void)
{
    return __asan_poison_memory_region && __asan_unpoison_memory_region &&
           __asan_region_is_poisoned;
}

/* ThreadSanitizer needs no notes, but memory where it expects some. */
static inline bool annotate_has_tsan(void)
{
    return __tsan_init;
}

/* Around what reads or writes memory that nobody may use. */
static inline void annotate_enter(struct watchers watchers)
{
    if (watchers.valgrind)
        VALGRIND_DISABLE_ERROR_REPORTING;
}

static inline void annotate_leave(struct watchers watchers)
{
    if (watchers.valgrind)
        VALGRIND_ENABLE_ERROR_REPORTING;
}

/* Nothing in this range is accessible. */
static inline void annotate_forbid(struct watchers watchers, void *address, size_t size)
{
    if (watchers.valgrind)
        VALGRIND_MAKE_MEM_NOACCESS(address, size);
    if (watchers.asan)
        __asan_poison_memory_region(address, size);
}

/* A block of `size` bytes was placed. */
__attribute__((always_inline)) static inline void
annotate_alloc(struct watchers watchers, void *address, size_t size, bool is_zeroed)
{
    if (watchers.valgrind)
        VALGRIND_MALLOCLIKE_BLOCK(address, size, 0, is_zeroed);
    if (watchers.asan)
        __asan_unpoison_memory_region(address, size);
}

/* A pointer is about to be freed, live or not: Valgrind itself reports one that is not. */
__attribute__((always_inline)) static inline void annotate_free(struct watchers watchers,
                                                                void *address)
{
    if (watchers.valgrind)
        VALGRIND_FREELIKE_BLOCK(address, 0);
}

/* The part of a live block that was asked for, of `usable_size` bytes. */
static inline size_t annotate_requested_size(struct watchers watchers, void *address,
                                             size_t usable_size)
{
    if (watchers.asan) {
        char *poisoned = __asan_region_is_poisoned(address, usable_size);
        return poisoned ? (size_t)(poisoned - (char *)address) : usable_size;
    }
    if (!watchers.valgrind)
        return usable_size;
    /* Bisection for the end of what is accessible; under tools other than memcheck all is. */
    size_t accessible = 0;
    size_t limit = usable_size;
    while (accessible < limit) {
        unsigned char bits;
        size_t middle = accessible + (limit - accessible) / 2;
        if (VALGRIND_GET_VBITS((char *)address + middle, &bits, 1) == 3)
            limit = middle;
        else
            accessible = middle + 1;
    }
    return accessible;
}

/* A block of `before` bytes now has `size`; `usable_size` is the larger of its usable sizes. */
__attribute__((always_inline)) static inline void annotate_resize(struct watchers watchers,
                                                                  void *address, size_t before,
                                                                  size_t size, size_t usable_size)
{
    if (watchers.valgrind)
        VALGRIND_RESIZEINPLACE_BLOCK(address, before, size, 0);
    if (watchers.asan) {
        if (usable_size > size)
            __asan_poison_memory_region((char *)address + size, usable_size - size);
        __asan_unpoison_memory_region(address, size);
    }
}

#endif
