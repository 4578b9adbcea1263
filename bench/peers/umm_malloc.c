/* SPDX-License-Identifier: MIT */
/* umm_malloc, best fit, which is its default. It numbers its blocks of 8 bytes with 15 bits. */
#include "peer.h"

#include "umm_malloc_source.c"

void *UMM_MALLOC_CFG_HEAP_ADDR; /* of its own heap, which is not made */
uint32_t UMM_MALLOC_CFG_HEAP_SIZE;

bool peer_start(void *memory, size_t size)
{
    if (size < 64 || size / UMM_BLOCK_BODY_SIZE > 32767)
        return false;
    umm_init_heap(memory, size);
    return true;
}

void *peer_malloc(size_t size)
{
    return umm_malloc(size ? size : 1);
}

void *peer_realloc(void *block, size_t size)
{
    return umm_realloc(block, size ? size : 1);
}

void peer_free(void *block)
{
    umm_free(block);
}
