/* SPDX-License-Identifier: MIT */
/* The exported names that take an alignment; c_names.c says what all of them have in common. */
#include <errno.h>
#include <stdlib.h>

#include "libc.h"
#include "request.h"

static inline bool is_power_of_two(size_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

__attribute__((noinline)) static void *aligned_long(const char *call, size_t alignment, size_t size)
{
    return is_passed_through() ? __libc_memalign(alignment, size)
                               : request_aligned(call, alignment, size, CALLER);
}

/* What the first pool could not serve. */
static void *aligned_refused(const char *call, size_t alignment, size_t size)
{
    return heap_is_plain_and_one_pool() ? heap_refuse(call, size)
                                        : aligned_long(call, alignment, size);
}

/* For the report: where such blocks lie differs from run to run. */
static inline void note_alignment(size_t alignment)
{
    if (!likely(alignment <= LARGEST_FIXED_ALIGNMENT))
        heap.has_large_alignment = true;
}

static inline void *serve_aligned(const char *call, size_t alignment, size_t size)
{
    heap_call = call;
    void *block = ffalloc_aligned_alloc(heap.plain_pool, alignment, size);
    heap_call = NULL;
    if (block)
        heap_note_large(block, size);
    return block;
}

__attribute__((noinline)) static void *aligned_plainly(const char *call, size_t alignment,
                                                       size_t size)
{
    void *block = serve_aligned(call, alignment, size);
    return likely(block) ? block : aligned_refused(call, alignment, size);
}

__attribute__((always_inline)) static inline void *aligned(const char *call, size_t alignment,
                                                           size_t size)
{
    note_alignment(alignment);
    if (heap_is_plain_and_single() && heap_is_size(size))
        return aligned_plainly(call, alignment, size);
    if (!heap.watchers.valgrind)
        return aligned_long(call, alignment, size);
    LONG_WAY(size);
    return request_aligned(call, alignment, size, CALLER_SITE);
}

/* How posix_memalign ends. */
static inline int give(void **result, void *block)
{
    if (!block)
        return ENOMEM;
    *result = block;
    return 0;
}

__attribute__((noinline)) static int posix_memalign_plainly(void **result, size_t alignment,
                                                            size_t size)
{
    void *block = serve_aligned("posix_memalign", alignment, size);
    return give(result, likely(block) ? block : aligned_refused("posix_memalign", alignment, size));
}

/* It does not end with a call of aligned_long, which would take it for the caller. */
__attribute__((noinline)) static int posix_memalign_long(void **result, size_t alignment,
                                                         size_t size)
{
    void *block = is_passed_through() ? __libc_memalign(alignment, size)
                                      : request_aligned("posix_memalign", alignment, size, CALLER);
    return give(result, block);
}

EXPORT int posix_memalign(void **result, size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    note_alignment(alignment);
    if (heap_is_plain_and_single() && heap_is_size(size))
        return posix_memalign_plainly(result, alignment, size);
    if (!heap.watchers.valgrind)
        return posix_memalign_long(result, alignment, size);
    LONG_WAY(result);
    LONG_WAY(alignment);
    LONG_WAY(size);
    void *block = request_aligned("posix_memalign", alignment, size, CALLER_SITE);
    return give(result, block);
}

/* As glibc's, which raises an alignment that is no power of two to the next one, and refuses one
 * of more than half the address space. */
EXPORT void *memalign(size_t alignment, size_t size)
{
    if (alignment > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = sizeof(void *);
    while (power < alignment)
        power <<= 1;
    return aligned("memalign", power, size);
}

/* glibc 2.36 takes aligned_alloc for memalign; 2.38 refuses what is no power of two. The second
 * is what C11 says. */
EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return aligned("aligned_alloc", alignment, size);
}

EXPORT void *valloc(size_t size)
{
    if (is_passed_through())
        return __libc_valloc(size);
    return aligned("valloc", heap.page_size, size);
}

EXPORT void *pvalloc(size_t size)
{
    if (is_passed_through())
        return __libc_pvalloc(size);
    size_t rounded = (size + heap.page_size - 1) & ~(heap.page_size - 1);
    if (rounded < size)
        return heap_refuse("pvalloc", size);
    return aligned("pvalloc", heap.page_size, rounded);
}
