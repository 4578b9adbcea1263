/* SPDX-License-Identifier: MIT */
/*
 * Memory goes back to the system.
 *
 * When PURGE_STEP bytes were freed, or at most FREES_TO_LOOK blocks more, a shard looks at how much
 * is in use, and gives back the pages inside its holes of HOLE_SIZE and more in two cases.
 *   - Less is in use, by SHRINK, or by an eighth if that is more, than at one of the looks before.
 *     So a process whose use shrinks gets smaller, and one whose use comes and goes keeps its
 *     pages: a fresh one costs more than a hundred calls (2.7 microseconds on the virtual machine
 *     of bench/README.md).
 *   - The blocks reach farther than ever, by GROWTH, or by an eighth if that is more, than when
 *     memory was last given back: what is asked for does not fit into the holes, and fresh pages
 *     are touched beside theirs. (z3 takes 358 MiB instead of 368 so, with glibc's malloc 359.)
 *
 * Before, memory was given back for every 32 MiB freed, whatever was allocated meanwhile: a quarter
 * of the time of sqlite's trace, an eighth of g++'s.
 */
#include <string.h>

#include "heap.h"

/* Bytes. */
#define PURGE_STEP ((size_t)4 << 20)
#define HOLE_SIZE  ((size_t)16 << 10)
#define SHRINK     ((size_t)48 << 20)
#define GROWTH     ((size_t)4 << 20)

/* Whether whole pages read as zero now. Some systems answer that they gave them back, and did
 * nothing (old qemu-user, sandboxes that refuse quietly): so a byte tells, too. What the system
 * refuses is cleared where it is, for it may be locked there by the program. */
static bool is_cleared_by_purge(unsigned char *pages, size_t size)
{
    volatile unsigned char *first = pages;
    *first = 1;
    return os_purge(pages, size) && *first == 0;
}

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
    if (!is_cleared_by_purge((unsigned char *)start, end - start))
        memset((void *)start, 0, end - start);
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
    purge->has_purged |= os_purge((void *)start, end - start);
    return true;
}

static bool purge_holes(struct shard *shard, size_t least_size)
{
    struct ffalloc_marks marks;
    ffalloc_marks(shard->pool, &marks);
    struct purge purge = {(unsigned char *)marks.blocks + marks.high_water_size, false};
    ffalloc_walk_holes(shard->pool, least_size, purge_hole, &purge);
    shard->freed_size = peek_freed_size(shard->pool);
    shard->high_water_size = marks.high_water_size;
    return purge.has_purged;
}

static bool is_much(size_t size, size_t least, size_t of)
{
    return size >= least && size >= of / 8;
}

void heap_look(struct shard *shard)
{
    size_t freed_size = peek_freed_size(shard->pool);
    shard->frees_to_look = FREES_TO_LOOK;
    if (freed_size - shard->freed_size < PURGE_STEP)
        return;
    struct ffalloc_marks marks;
    ffalloc_marks(shard->pool, &marks);
    shard->freed_size = freed_size;
    if (marks.used_size > shard->most_used)
        shard->most_used = marks.used_size;
    size_t shrunk = shard->most_used - marks.used_size;
    size_t grown = marks.high_water_size - shard->high_water_size;
    bool has_shrunk = is_much(shrunk, SHRINK, shard->most_used);
    if (has_shrunk)
        shard->most_used = marks.used_size;
    if (has_shrunk || is_much(grown, GROWTH, shard->high_water_size))
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
