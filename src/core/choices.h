/* SPDX-License-Identifier: MIT */
/*
 * What a firmware may choose when it compiles the core: by -D, or in a header of its own that
 * -DFFALLOC_CONFIG_FILE='"my_ffalloc.h"' names. What is not chosen costs nothing.
 *
 * FFALLOC_GRANULE: bytes of a granule where a config says 0, 8 to 4096. Default: 16 with 64-bit
 * pointers, else 8. Costs nothing: the granule is a variable anyway.
 *
 * FFALLOC_STATISTICS: 0 leaves out what is counted for people alone; peak_used_size,
 * least_free_size, largest_request_size and slack_total_size then read as 0. Saves 200 bytes of
 * malloc and free on a Cortex-M4 (-Os), and 4 instructions a call (2 on x86-64).
 *
 * FFALLOC_SMALL: 1 takes small.c in place of all that makes malloc and free quick, and leaves out
 * the ffalloc_target functions. On a Cortex-M4 (-Os, bench/run footprint) malloc and free then
 * take 2.5 KB of code and not 7.1, everything 4.9 KB and not 14.1. A call takes 3 times the
 * instructions; it is bounded by the logarithm of the pool as before, and no block is placed
 * elsewhere. With 32-bit words a pool has 65,534 granules at most (512 KiB at granule 8, 1 MiB at
 * 16), and leaves memory beyond them unused.
 *
 * FFALLOC_GROWTH: 1 allows pools that grow (on_open of struct ffalloc_config), 0 makes
 * ffalloc_init_with return NULL for one. Default: 1 with 64-bit pointers, else 0.
 *
 * FFALLOC_TRACE_ALLOC(pool, block, size): a block was placed for a request of `size` bytes.
 * FFALLOC_TRACE_FREE(pool, block): a block is freed.
 * FFALLOC_TRACE_RESIZE(pool, block, size): a block has another size, in place.
 * FFALLOC_TRACE_FAIL(pool, size): a request was refused. Each costs what it is defined to be. They
 * run inside the call, and must not call the pool.
 *
 * FFALLOC_LARGE_FREED(pool, size): a block of `size` bytes, with a leaf of its own or more, was
 * freed, or as much of one by making it smaller; the last thing that the call does. Costs what it
 * is defined to be.
 *
 * FFALLOC_ASSERT(condition): its condition is false when a pointer that was passed in is wrong, or
 * the pool is damaged, before on_error is told. Costs what it is defined to be, once.
 *
 * FFALLOC_LOCK(pool), FFALLOC_UNLOCK(pool): a lock around each public call, both or neither
 * (locked.h). Without them locks are the caller's (ports/freertos), or the arena's (arena.h).
 *
 * The hooks for errors and for requests that fail are in struct ffalloc_config, and cost two words.
 */
#ifndef FFALLOC_CORE_CHOICES_H
#define FFALLOC_CORE_CHOICES_H

#include <stdint.h>

#include "config.h"
#include "locked.h"

#ifndef FFALLOC_GRANULE
#define FFALLOC_GRANULE (sizeof(void *) == 8 ? 16 : 8)
#endif
#ifndef FFALLOC_STATISTICS
#define FFALLOC_STATISTICS 1
#endif
#ifndef FFALLOC_SMALL
#define FFALLOC_SMALL 0
#endif
#ifndef FFALLOC_GROWTH
#if UINTPTR_MAX > 0xffffffff
#define FFALLOC_GROWTH 1
#else
#define FFALLOC_GROWTH 0
#endif
#endif
#ifndef FFALLOC_TRACE_ALLOC
#define FFALLOC_TRACE_ALLOC(pool, block, size) ((void)0)
#endif
#ifndef FFALLOC_TRACE_FREE
#define FFALLOC_TRACE_FREE(pool, block) ((void)0)
#endif
#ifndef FFALLOC_TRACE_RESIZE
#define FFALLOC_TRACE_RESIZE(pool, block, size) ((void)0)
#endif
#ifndef FFALLOC_TRACE_FAIL
#define FFALLOC_TRACE_FAIL(pool, size) ((void)0)
#endif
#ifndef FFALLOC_LARGE_FREED
#define FFALLOC_LARGE_FREED(pool, size) ((void)(size))
#endif
#ifndef FFALLOC_ASSERT
#define FFALLOC_ASSERT(condition) ((void)0)
#endif

#endif
