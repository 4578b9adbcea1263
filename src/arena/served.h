/* SPDX-License-Identifier: MIT */
/* The calls that serve the arena: the core's, or with -DFFALLOC_ARENA_GUARD=1 the guarded ones. */
#ifndef FFALLOC_ARENA_SERVED_H
#define FFALLOC_ARENA_SERVED_H

#if FFALLOC_ARENA_GUARD

#include "ffalloc/guarded.h"

#define serve_start         ffalloc_guarded_start
#define serve_aligned_alloc ffalloc_guarded_aligned_alloc
#define serve_resize        ffalloc_guarded_resize
#define serve_release       ffalloc_guarded_release
#define serve_usable_size   ffalloc_guarded_usable_size

/* Of a block that was freed, whether it can have been asked for with that size. */
static inline bool served_with(size_t freed_size, size_t size)
{
    return freed_size == size + !size;
}

#else

#include "ffalloc/ffalloc.h"

static inline bool serve_start(struct ffalloc_pool *pool)
{
    return pool;
}

#define serve_aligned_alloc ffalloc_aligned_alloc
#define serve_resize        ffalloc_resize
#define serve_release       ffalloc_release
#define serve_usable_size   ffalloc_usable_size

static inline bool served_with(size_t freed_size, size_t size)
{
    return freed_size >= size;
}

#endif

#endif
