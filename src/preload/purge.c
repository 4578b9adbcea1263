/* SPDX-License-Identifier: MIT */
/*
 * Memory goes back to the system.
 *
 * A shard counts the bytes freed. Once they come to PURGE_STEP, or to an eighth of what is live
 * if that is more, the pages inside its holes of HOLE_SIZE and more are given back and the count
 * starts anew. So a loop that takes and frees a large block pays for fresh pages once in many
 * rounds, a process whose use shrinks by more than a step gets smaller, and what the calls cost
 * is a small part of what freeing so much cost.
 */
#include <string.h>

#include "heap.h"

#define HOLE_SIZE ((size_t)256 << 10) /* bytes */

void heap_clear(unsigned char *block, size_t size, unsigned char *touched_end)
{
    uintptr_t page_mask = heap.page_size - 1;
    if (touched_end <= block)
        return;
    if ((size_t)(touched_end - block) < size)
        size = (size_t)(touched_end - block);
    uintptr_t start = ((uintptr_t)block + page_mask) & ~page_mask;
    uintptr_t end = ((uintptr_t)block + size) & ~page_mask;
    if (start >= end) {
        memset(block, 0, size);
        return;
    }
    memset(block, 0, start - (uintptr_t)block);
    os_purge((void *)start, end - start);
    memset((void *)end, 0, (uintptr_t)block + size - end);
}

struct purge {
    unsigned char *touched_end; /* nothing above was ever touched */
    bool has_purged;
};

static bool purge_hole(void *context, const struct ffalloc_block *hole)
{
    struct purge *purge = context;
    uintptr_t page_mask = heap.page_size - 1;
    unsigned char *hole_end = (unsigned char *)hole->address + hole->size;
    bool is_touched_to_end = hole_end <= purge->touched_end;
    uintptr_t start = ((uintptr_t)hole->address + page_mask) & ~page_mask;
    uintptr_t end = is_touched_to_end ? (uintptr_t)hole_end & ~page_mask
                                      : ((uintptr_t)purge->touched_end + page_mask) & ~page_mask;
    if (hole->is_used || start >= end)
        return true;
    os_purge((void *)start, end - start);
    purge->has_purged = true;
    return true;
}

static bool purge_holes(struct shard *shard, size_t least_size)
{
    struct ffalloc_marks marks;
    ffalloc_marks(shard->pool, &marks);
    struct purge purge = {(unsigned char *)marks.blocks + marks.high_water_size, false};
    ffalloc_walk_holes(shard->pool, least_size, purge_hole, &purge);
    shard->freed_size = 0;
    shard->purge_size = marks.used_size / 8 > PURGE_STEP ? marks.used_size / 8 : PURGE_STEP;
    return purge.has_purged;
}

void heap_purge(struct shard *shard)
{
    purge_holes(shard, HOLE_SIZE);
}

bool heap_trim(void)
{
    bool has_purged = false;
    for (unsigned i = 0; i < heap.shard_count; i++) {
        struct shard *shard = &heap.shards[i];
        heap_lock(shard);
        if (shard->pool)
            has_purged |= purge_holes(shard, heap.page_size);
        heap_unlock(shard);
    }
    return has_purged;
}
