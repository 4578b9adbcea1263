/* SPDX-License-Identifier: MIT */
/* o1heap: powers of two, half fit. */
#include "peer.h"

#include "o1heap_source.c"

static O1HeapInstance *heap;

bool peer_start(void *memory, size_t size)
{
    return (heap = o1heapInit(memory, size)) != NULL;
}

void *peer_malloc(size_t size)
{
    return o1heapAllocate(heap, size ? size : 1);
}

void *peer_realloc(void *block, size_t size)
{
    (void)block;
    (void)size;
    return NULL;
}

void peer_free(void *block)
{
    o1heapFree(heap, block);
}
