/* SPDX-License-Identifier: MIT */
/*
 * All that src/preload may see of a pool besides ffalloc.h: numbers that are read without the lock,
 * while another thread may be changing the pool. What is read lies in the pool's metadata, always;
 * whether the answer holds, the caller has to find out (heap_peek).
 *
 * The room between the core and the preload library: it knows how the map looks, which src/preload
 * must not, and that somebody reads it from outside, which src/core must not.
 */
#ifndef FFALLOC_PEEK_PEEK_H
#define FFALLOC_PEEK_PEEK_H

#include <stddef.h>

struct ffalloc_pool;

/* Bytes given back since the pool was made; needs FFALLOC_STATISTICS. */
size_t ffalloc_peek_freed_size(const struct ffalloc_pool *pool);

/* Requests served since the pool was made. */
size_t ffalloc_peek_alloc_count(const struct ffalloc_pool *pool);

/* Bytes in use; with a request under way up to twice its size more. */
size_t ffalloc_peek_used_size(const struct ffalloc_pool *pool);

/* ffalloc_usable_size of a block that ends in its leaf or the next; 0 of all else. */
size_t ffalloc_peek_usable_size(const struct ffalloc_pool *pool, const void *block);

#endif
