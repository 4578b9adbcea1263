/* SPDX-License-Identifier: MIT */
/* The only functions the core needs from outside: every compiler and firmware has them. */
#ifndef FFALLOC_CORE_MEMORY_H
#define FFALLOC_CORE_MEMORY_H

#include <stddef.h>

/* The core compiles as C++ too; what else differs there stands here. */
#ifdef __cplusplus
extern "C" {
#define restrict __restrict
#define _Static_assert static_assert
#endif

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);

#ifdef __cplusplus
}
#endif

#endif
