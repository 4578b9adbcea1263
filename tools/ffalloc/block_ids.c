/* SPDX-License-Identifier: MIT */
#include "block_ids.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "command.h"
#include "trace.h"

size_t ids_size(uint64_t arena_size, uint64_t granule)
{
    return (size_t)(arena_size / granule + 1) * sizeof(uint32_t);
}

bool ids_open(struct block_ids *ids, uint64_t arena, uint64_t arena_size, uint64_t granule)
{
    *ids = (struct block_ids){.arena = arena, .arena_size = arena_size, .granule = granule};
    ids->by_granule = mmap(NULL, ids_size(arena_size, granule), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return ids->by_granule != MAP_FAILED;
}

void ids_close(struct block_ids *ids)
{
    munmap(ids->by_granule, ids_size(ids->arena_size, ids->granule));
    free(ids->free_ids);
}

uint32_t ids_take(struct block_ids *ids)
{
    return ids->free_count > 0 ? ids->free_ids[--ids->free_count] : ids->count++;
}

void ids_give(struct block_ids *ids, uint32_t id)
{
    ids->free_ids =
        grow(ids->free_ids, &ids->free_size, ids->free_count + 1, sizeof *ids->free_ids);
    ids->free_ids[ids->free_count++] = id;
}

void ids_restart(struct block_ids *ids)
{
    ids->free_count = 0;
    ids->count = 0;
}

/* NULL if the address is not in the arena. */
static uint32_t *slot_of(const struct block_ids *ids, uint64_t address)
{
    uint64_t offset = address - ids->arena;
    return offset < ids->arena_size ? &ids->by_granule[offset / ids->granule] : NULL;
}

uint32_t ids_at(const struct block_ids *ids, uint64_t address)
{
    const uint32_t *slot = slot_of(ids, address);
    return slot ? *slot - 1 : TRACE_NO_ID;
}

uint32_t ids_forget(struct block_ids *ids, uint64_t address)
{
    uint32_t id = ids_at(ids, address);
    if (id != TRACE_NO_ID)
        *slot_of(ids, address) = 0;
    return id;
}

void ids_place(struct block_ids *ids, uint64_t address, uint32_t id)
{
    uint32_t *slot = slot_of(ids, address);
    if (slot)
        *slot = id + 1;
}
