/* SPDX-License-Identifier: MIT */
/* libc's own allocator, for the programs that FFALLOC_ONLY does not name. glibc exports these
 * names beside malloc's; they need no dlsym, which allocates. */
#ifndef FFALLOC_PRELOAD_LIBC_H
#define FFALLOC_PRELOAD_LIBC_H

#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void *__libc_valloc(size_t size);
extern void *__libc_pvalloc(size_t size);
extern void __libc_free(void *block);

#endif
