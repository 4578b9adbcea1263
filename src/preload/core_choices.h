/* SPDX-License-Identifier: MIT */
/* What the preload library chooses when it compiles the core (src/core/choices.h). */
#ifndef FFALLOC_PRELOAD_CORE_CHOICES_H
#define FFALLOC_PRELOAD_CORE_CHOICES_H

#include <stddef.h>

struct ffalloc_pool;

/* purge.c: whether memory goes back is asked at once after so much was freed. */
void heap_on_large_freed(struct ffalloc_pool *pool) __attribute__((visibility("hidden")));

#define LEAST_LARGE_LOG2 16
#define LEAST_LARGE      ((size_t)1 << LEAST_LARGE_LOG2) /* bytes */

#define FFALLOC_LARGE_FREED(pool, size)                                                            \
    ((size) >= LEAST_LARGE ? heap_on_large_freed(pool) : (void)0)

#endif
