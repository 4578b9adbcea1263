/* SPDX-License-Identifier: MIT */
/* The public calls where there is a lock (locked.h); else nothing. */
#include "choices.h"

#ifdef FFALLOC_LOCK

/* The names stand in parentheses where they are not to become the unlocked ones. */
#define LOCKED(type, name, parameters, arguments)                                                  \
    type(name) parameters                                                                          \
    {                                                                                              \
        FFALLOC_LOCK(pool);                                                                        \
        type result = name arguments;                                                              \
        FFALLOC_UNLOCK(pool);                                                                      \
        return result;                                                                             \
    }
#define LOCKED_VOID(name, parameters, arguments)                                                   \
    void(name) parameters                                                                          \
    {                                                                                              \
        FFALLOC_LOCK(pool);                                                                        \
        name arguments;                                                                            \
        FFALLOC_UNLOCK(pool);                                                                      \
    }

typedef void *locked_block;

LOCKED(locked_block, ffalloc_malloc, (struct ffalloc_pool * pool, size_t size), (pool, size))
LOCKED(locked_block, ffalloc_calloc, (struct ffalloc_pool * pool, size_t count, size_t size),
       (pool, count, size))
LOCKED(locked_block, ffalloc_aligned_alloc,
       (struct ffalloc_pool * pool, size_t alignment, size_t size), (pool, alignment, size))
LOCKED(locked_block, ffalloc_realloc, (struct ffalloc_pool * pool, void *block, size_t size),
       (pool, block, size))
LOCKED(bool, ffalloc_resize, (struct ffalloc_pool * pool, void *block, size_t size),
       (pool, block, size))
LOCKED_VOID(ffalloc_free, (struct ffalloc_pool * pool, void *block), (pool, block))
LOCKED(size_t, ffalloc_release, (struct ffalloc_pool * pool, void *block), (pool, block))
LOCKED(size_t, ffalloc_usable_size, (const struct ffalloc_pool *pool, const void *block),
       (pool, block))
LOCKED(bool, ffalloc_owns, (const struct ffalloc_pool *pool, const void *at), (pool, at))
LOCKED(bool, ffalloc_find,
       (const struct ffalloc_pool *pool, const void *at, struct ffalloc_block *block),
       (pool, at, block))
LOCKED_VOID(ffalloc_stats, (const struct ffalloc_pool *pool, struct ffalloc_stats *stats),
            (pool, stats))
LOCKED_VOID(ffalloc_marks, (const struct ffalloc_pool *pool, struct ffalloc_marks *marks),
            (pool, marks))
LOCKED_VOID(ffalloc_reset_marks, (struct ffalloc_pool * pool), (pool))
LOCKED(bool, ffalloc_check, (const struct ffalloc_pool *pool, struct ffalloc_fault *fault),
       (pool, fault))
LOCKED_VOID(ffalloc_walk, (const struct ffalloc_pool *pool, ffalloc_visit *visit, void *context),
            (pool, visit, context))
LOCKED_VOID(ffalloc_walk_holes,
            (const struct ffalloc_pool *pool, size_t least_size, ffalloc_visit *visit,
             void *context),
            (pool, least_size, visit, context))

#undef LOCKED
#undef LOCKED_VOID

#endif
