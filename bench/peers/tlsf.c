/* SPDX-License-Identifier: MIT */
/* TLSF (mattconte/tlsf). */
#include "peer.h"

#include "tlsf_source.c"

static tlsf_t heap;

bool peer_start(void *memory, size_t size)
{
    /* It prints a line where the rest is too little. */
    size &= ~(size_t)3;
    return size > tlsf_size() + tlsf_pool_overhead() + tlsf_block_size_min() &&
           (heap = tlsf_create_with_pool(memory, size)) != NULL;
}

void *peer_malloc(size_t size)
{
    return tlsf_malloc(heap, size ? size : 1);
}

void *peer_realloc(void *block, size_t size)
{
    return tlsf_realloc(heap, block, size ? size : 1);
}

void peer_free(void *block)
{
    tlsf_free(heap, block);
}
