/* SPDX-License-Identifier: MIT */
/*
 * A lock around each public call, for firmware whose interrupts or tasks share a pool. A config
 * file (FFALLOC_CONFIG_FILE, choices.h) defines the two macros:
 *
 *     #define FFALLOC_LOCK(pool)   irq_disable_and_count()
 *     #define FFALLOC_UNLOCK(pool) irq_enable_if_last()
 *
 * Without that nothing here is compiled, and no call costs an instruction more.
 *
 * The lock is taken once by a call, before it reads the pool, and given back once, after the last
 * thing it does, however it ends. `pool` is the call's, of a type const where the call's is. Hooks
 * and ffalloc_walk's visitors are called with the lock held (as the arena's are): a hook that calls
 * the pool, to free something and ask again, needs a lock that nests, as masked interrupts with a
 * count or a recursive mutex do. ffalloc_init makes a pool that nobody shares yet, and takes none.
 *
 * How: the core's files define and call `unlocked` functions in place of the public ones, by the
 * macros below, so that a call that makes another (realloc, free) takes no second lock; locked.c
 * defines the public ones.
 */
#ifndef FFALLOC_CORE_LOCKED_H
#define FFALLOC_CORE_LOCKED_H

#include "config.h"

#if defined(FFALLOC_LOCK) != defined(FFALLOC_UNLOCK)
#error "FFALLOC_LOCK and FFALLOC_UNLOCK belong together"
#endif

#ifdef FFALLOC_LOCK

#include "ffalloc/ffalloc.h"

#ifdef __cplusplus
extern "C" {
#endif

void *ffalloc_unlocked_malloc(struct ffalloc_pool *pool, size_t size);
void *ffalloc_unlocked_calloc(struct ffalloc_pool *pool, size_t count, size_t size);
void *ffalloc_unlocked_aligned_alloc(struct ffalloc_pool *pool, size_t alignment, size_t size);
void *ffalloc_unlocked_realloc(struct ffalloc_pool *pool, void *block, size_t size);
bool ffalloc_unlocked_resize(struct ffalloc_pool *pool, void *block, size_t size);
void ffalloc_unlocked_free(struct ffalloc_pool *pool, void *block);
size_t ffalloc_unlocked_release(struct ffalloc_pool *pool, void *block);
size_t ffalloc_unlocked_usable_size(const struct ffalloc_pool *pool, const void *block);
bool ffalloc_unlocked_owns(const struct ffalloc_pool *pool, const void *address);
bool ffalloc_unlocked_find(const struct ffalloc_pool *pool, const void *address,
                           struct ffalloc_block *block);
void ffalloc_unlocked_stats(const struct ffalloc_pool *pool, struct ffalloc_stats *stats);
void ffalloc_unlocked_marks(const struct ffalloc_pool *pool, struct ffalloc_marks *marks);
void ffalloc_unlocked_reset_marks(struct ffalloc_pool *pool);
bool ffalloc_unlocked_check(const struct ffalloc_pool *pool, struct ffalloc_fault *fault);
void ffalloc_unlocked_walk(const struct ffalloc_pool *pool, ffalloc_visit *visit, void *context);
void ffalloc_unlocked_walk_holes(const struct ffalloc_pool *pool, size_t least_size,
                                 ffalloc_visit *visit, void *context);

#ifdef __cplusplus
}
#endif

/* With parentheses, so that the structs of these names are not meant. */
#define ffalloc_malloc(pool, size)               ffalloc_unlocked_malloc(pool, size)
#define ffalloc_calloc(pool, count, size)        ffalloc_unlocked_calloc(pool, count, size)
#define ffalloc_aligned_alloc(pool, align, size) ffalloc_unlocked_aligned_alloc(pool, align, size)
#define ffalloc_realloc(pool, block, size)       ffalloc_unlocked_realloc(pool, block, size)
#define ffalloc_resize(pool, block, size)        ffalloc_unlocked_resize(pool, block, size)
#define ffalloc_free(pool, block)                ffalloc_unlocked_free(pool, block)
#define ffalloc_release(pool, block)             ffalloc_unlocked_release(pool, block)
#define ffalloc_usable_size(pool, block)         ffalloc_unlocked_usable_size(pool, block)
#define ffalloc_owns(pool, address)              ffalloc_unlocked_owns(pool, address)
#define ffalloc_find(pool, address, block)       ffalloc_unlocked_find(pool, address, block)
#define ffalloc_stats(pool, stats)               ffalloc_unlocked_stats(pool, stats)
#define ffalloc_marks(pool, marks)               ffalloc_unlocked_marks(pool, marks)
#define ffalloc_reset_marks(pool)                ffalloc_unlocked_reset_marks(pool)
#define ffalloc_check(pool, fault)               ffalloc_unlocked_check(pool, fault)
#define ffalloc_walk(pool, visit, context)       ffalloc_unlocked_walk(pool, visit, context)
#define ffalloc_walk_holes(pool, least, visit, context)                                            \
    ffalloc_unlocked_walk_holes(pool, least, visit, context)

#endif
#endif
