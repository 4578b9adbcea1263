/* SPDX-License-Identifier: MIT */
/* The only functions the core needs from outside: every compiler and firmware has them. */
#ifndef FFALLOC_CORE_MEMORY_H
#define FFALLOC_CORE_MEMORY_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);

#endif
