/* SPDX-License-Identifier: MIT */
/* An allocator for small devices, in `size` bytes of memory of the caller's: one file here each. */
#ifndef FFALLOC_BENCH_PEER_H
#define FFALLOC_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool peer_start(void *memory, size_t size); /* false: too little, or more than it can have */
void *peer_malloc(size_t size);
void *peer_realloc(void *block, size_t size); /* NULL, and nothing done, if it has none */
void peer_free(void *block);

#endif
