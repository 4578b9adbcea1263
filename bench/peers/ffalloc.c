/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include "ffalloc/ffalloc.h"

static struct ffalloc_pool *pool;

bool peer_start(void *memory, size_t size)
{
    return (pool = ffalloc_init(memory, size)) != NULL;
}

void *peer_malloc(size_t size)
{
    return ffalloc_malloc(pool, size);
}

void *peer_realloc(void *block, size_t size)
{
    return ffalloc_realloc(pool, block, size);
}

void peer_free(void *block)
{
    ffalloc_free(pool, block);
}
