/* SPDX-License-Identifier: MIT */
/* Which block of a trace lies at an address of the recorded heap. */
#ifndef FFALLOC_TOOLS_BLOCK_IDS_H
#define FFALLOC_TOOLS_BLOCK_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_ids {
    uint64_t arena, arena_size, granule; /* of the heap */
    uint32_t *by_granule;                /* the id of the block placed there, plus 1 */
    uint32_t *free_ids;                  /* of blocks that died */
    size_t free_count, free_size;
    uint32_t count;
};

/* False if so much address space, `ids_size` bytes, cannot be reserved. */
bool ids_open(struct block_ids *ids, uint64_t arena, uint64_t arena_size, uint64_t granule);
size_t ids_size(uint64_t arena_size, uint64_t granule);
void ids_close(struct block_ids *ids);

/* An id that no live block has. */
uint32_t ids_take(struct block_ids *ids);
void ids_give(struct block_ids *ids, uint32_t id);

/* Begins anew with the first, once no block is live. */
void ids_restart(struct block_ids *ids);

/* The id of the block at an address; TRACE_NO_ID if none was placed there since the recording
 * began. ids_forget is of a block that dies or moves. */
uint32_t ids_at(const struct block_ids *ids, uint64_t address);
uint32_t ids_forget(struct block_ids *ids, uint64_t address);
void ids_place(struct block_ids *ids, uint64_t address, uint32_t id);

#endif
