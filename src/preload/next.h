/* SPDX-License-Identifier: MIT */
/*
 * The functions of these names that the program would call without this library.
 *
 * Some of a sanitizer's blocks come here to be freed: its runtime has functions of its own in place
 * of libc's that allocate, such as strdup, and they allocate from it. It knows its blocks, and gets
 * them back.
 */
#ifndef FFALLOC_PRELOAD_NEXT_H
#define FFALLOC_PRELOAD_NEXT_H

#include <dlfcn.h>

#include "heap.h"

__attribute__((weak)) int __sanitizer_get_ownership(const volatile void *address);

/* Looked up once; dlsym does not allocate where it finds something. */
static inline void *next_function(void **next, const char *name)
{
    void *function = __atomic_load_n(next, __ATOMIC_RELAXED);
    if (!function)
        function = dlsym(RTLD_NEXT, name);
    __atomic_store_n(next, function, __ATOMIC_RELAXED);
    return function;
}

static inline bool next_owns(const void *block)
{
    return __sanitizer_get_ownership && block && !heap_shard_of(block) &&
           __sanitizer_get_ownership(block);
}

static inline void next_free(void *block)
{
    static void *next;
    ((void (*)(void *))next_function(&next, "free"))(block);
}

static inline void *next_realloc(void *block, size_t size)
{
    static void *next;
    return ((void *(*)(void *, size_t))next_function(&next, "realloc"))(block, size);
}

static inline size_t next_usable_size(void *block)
{
    static void *next;
    return ((size_t(*)(void *))next_function(&next, "malloc_usable_size"))(block);
}

#endif
