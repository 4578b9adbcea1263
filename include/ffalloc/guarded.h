/* SPDX-License-Identifier: MIT */
/*
 * Guards for firmware: bytes behind each block that are nobody's, so that a write beyond a block,
 * or before the first one, is told where the block is freed, resized or looked at. Compile
 * src/guard/guarded.c with the core; it needs no OS, no libc, and 600 bytes of code on a Cortex-M4.
 *
 *     struct ffalloc_pool *pool = ffalloc_init(memory, sizeof memory);
 *     ffalloc_guarded_start(pool);
 *     char *text = ffalloc_guarded_malloc(pool, 100);
 *     text[100] = 0;
 *     ffalloc_guarded_free(pool, text);       -> ffalloc_guard_on_damage(pool, text, 100)
 *
 * The calls do what the core's calls of the same names do, with these differences. All blocks of a
 * pool come from here, and none of its blocks goes to the core's own calls. The size that was asked
 * for is kept exactly: it is the usable size. Each block takes FFALLOC_GUARD_SIZE bytes more, and
 * may lie elsewhere than without. A pool has no lock: calls on one pool must not overlap.
 *
 * The arena (arena.h) is guarded if it is compiled with -DFFALLOC_ARENA_GUARD=1, and this beside
 * it.
 */
#ifndef FFALLOC_GUARDED_H
#define FFALLOC_GUARDED_H

#include <ffalloc/ffalloc.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes at least behind each block, two words or more: the last word is what was asked for. Choose
 * it for all files by -D. */
#ifndef FFALLOC_GUARD_SIZE
#define FFALLOC_GUARD_SIZE (2 * sizeof(void *))
#endif

/* Of the pattern. Set it before the first call, by a random number if there is one. */
extern uintptr_t ffalloc_guard_secret;

/*
 * Called about a block behind which something was written, `size` bytes having been asked for: 0 if
 * that was overwritten as well. The call goes on when it returns, and the guard is whole again. The
 * library's own is weak, and traps; define one in the firmware to replace it.
 */
void ffalloc_guard_on_damage(struct ffalloc_pool *pool, void *block, size_t size);

/* The guard before the first block; once, before all other calls. False if it does not fit. */
bool ffalloc_guarded_start(struct ffalloc_pool *pool);

void *ffalloc_guarded_malloc(struct ffalloc_pool *pool, size_t size);
void *ffalloc_guarded_calloc(struct ffalloc_pool *pool, size_t count, size_t size);
void *ffalloc_guarded_aligned_alloc(struct ffalloc_pool *pool, size_t alignment, size_t size);
void *ffalloc_guarded_realloc(struct ffalloc_pool *pool, void *block, size_t size);
bool ffalloc_guarded_resize(struct ffalloc_pool *pool, void *block, size_t size);
void ffalloc_guarded_free(struct ffalloc_pool *pool, void *block);

/* Returns what was asked for, 0 if the pointer was NULL or wrong. */
size_t ffalloc_guarded_release(struct ffalloc_pool *pool, void *block);
size_t ffalloc_guarded_usable_size(struct ffalloc_pool *pool, void *block);

/* Verifies the guards of all blocks, each of which may be told. Walks the pool. */
void ffalloc_guarded_check(struct ffalloc_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
