/* SPDX-License-Identifier: MIT */
/*
 * The static arena: link libffalloc-arena.a, and malloc and its family are served by first fit
 * from one array of the program, never from the system. For test programs that are to behave as
 * the device does, and for firmware.
 *
 * The array has 64 KiB unless one source file of the program chooses another size:
 *
 *     #include <ffalloc/arena.h>
 *     FFALLOC_ARENA(256 * 1024)
 *
 * The functions behave as C and POSIX say; realloc(p, 0) frees and returns NULL. Where there is
 * an errno (glibc, musl, newlib, picolibc), a failed request sets it to ENOMEM. One thread, or
 * the lock hooks below.
 *
 * Compiled with -DFFALLOC_ARENA_GUARD=1, and src/guard/guarded.c beside it, there are guards behind
 * the blocks (guarded.h).
 *
 * In a program compiled with AddressSanitizer, choose the size with FFALLOC_ARENA, or link with
 * -Wl,-u,ffalloc_arena_pool: otherwise the linker may take AddressSanitizer's malloc.
 */
#ifndef FFALLOC_ARENA_H
#define FFALLOC_ARENA_H

#include <ffalloc/ffalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Defines the array: `size` bytes, metadata included. Once in a program, at file scope. The
 * pointer makes the linker take our malloc out of the library even where another library, such
 * as AddressSanitizer's, has one too. */
#define FFALLOC_ARENA(size)                                                                        \
    unsigned char ffalloc_arena_memory[size] __attribute__((aligned(16)));                         \
    const size_t ffalloc_arena_size = sizeof ffalloc_arena_memory;                                 \
    const char *const ffalloc_arena_needs = &ffalloc_arena_malloc;

extern const char ffalloc_arena_malloc; /* stands where our malloc is */
extern const char *const ffalloc_arena_needs;
extern unsigned char ffalloc_arena_memory[];
extern const size_t ffalloc_arena_size; /* bytes */

/* The arena's pool, for ffalloc_stats, ffalloc_check and ffalloc_walk. NULL if and only if the
 * array is too small for one. The first call makes it. */
struct ffalloc_pool *ffalloc_arena_pool(void);

/* Hooks: the library's own are weak; define one in the program to replace it. */

/* Called around every call. The library's own do nothing. */
void ffalloc_arena_lock(void);
void ffalloc_arena_unlock(void);

/* Called about a wrong pointer, or about free_sized or free_aligned_sized with a size that is not
 * the block's (with guards than what was asked for; without one that is larger), the lock being
 * held; if it returns, the call does nothing more. The library's own traps. */
void ffalloc_arena_on_error(const void *address, enum ffalloc_error kind);

/* Called when a request cannot be served, the lock being held. The library's own does nothing. */
void ffalloc_arena_on_out_of_memory(size_t size, size_t alignment);

#ifdef __cplusplus
}
#endif

#endif
