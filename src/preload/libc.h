/* SPDX-License-Identifier: MIT */
/* What glibc exports beside the C library's names. */
#ifndef FFALLOC_PRELOAD_LIBC_H
#define FFALLOC_PRELOAD_LIBC_H

#include <stddef.h>

/* Its own allocator, for the programs that FFALLOC_ONLY does not name: by these names it needs no
 * dlsym, which allocates. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void *__libc_valloc(size_t size);
extern void *__libc_pvalloc(size_t size);
extern void __libc_free(void *block);

/* Its list of streams: the lock may be taken again by the thread that has it. */
__attribute__((weak)) void _IO_list_lock(void);
__attribute__((weak)) void _IO_list_unlock(void);
__attribute__((weak)) void _IO_list_resetlock(void);

#endif
