/* SPDX-License-Identifier: MIT */
/*
 * Memory goes back to the system.
 *
 * When LOOK_STEP bytes were freed in a shard, at the free of a large block that makes them so many
 * or at most FREES_TO_LOOK others later, it is looked at how much is in use, and the pages inside
 * holes of HOLE_SIZE and more are given back in three cases.
 *   - Less is in use, in all shards together, by SHRINK, or by an eighth if that is more, than at
 *     one of the looks before: in all shards. So a process whose use shrinks gets smaller, and one
 *     whose use comes and goes keeps its pages: a fresh one costs more than a hundred calls (2.7
 *     microseconds on the virtual machine of bench/README.md).
 *   - The blocks of the shard reach farther than ever, by GROWTH, or by an eighth if that is more,
 *     than when memory was last given back: what is asked for does not fit into the holes, and
 *     fresh pages are touched beside theirs. (z3 takes 358 MiB instead of 368 so, with glibc's
 *     malloc 359.)
 *   - A thread that was at home in the shard ends, or no thread is at home there any more, so that
 *     nobody would use the pages again soon: then for each LEFT_STEP, or eighth of what is in use.
 *
 * Before, memory was given back for every 32 MiB freed, whatever was allocated meanwhile: a quarter
 * of the time of sqlite's trace, an eighth of g++'s.
 */
#include <string.h>

#include "heap.h"

/* Bytes. */
#define LOOK_STEP ((size_t)4 << 20)
#define LEFT_STEP ((size_t)1 << 20)
#define HOLE_SIZE ((size_t)16 << 10)
#define SHRINK    ((size_t)48 << 20)
#define GROWTH    ((size_t)4 << 20)

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
    heap.guards.has_purged |= purge.has_purged;
    shard->purged_size = ffalloc_peek_freed_size(shard->pool);
    shard->high_water_size = marks.high_water_size;
    return purge.has_purged;
}

/* In all shards; `is_due` tells in which. */
static bool purge_all(size_t least_size, bool (*is_due)(const struct shard *shard))
{
    bool has_purged = false;
    for (unsigned i = 0; i < heap.shard_count; i++) {
        struct shard *shard = &heap.shards[i];
        heap_lock(shard);
        if (shard->pool && is_due(shard))
            has_purged |= purge_holes(shard, least_size);
        heap_unlock(shard);
    }
    return has_purged;
}

static size_t freed_since_purge(const struct shard *shard)
{
    return ffalloc_peek_freed_size(shard->pool) - shard->purged_size;
}

static bool has_freed(const struct shard *shard)
{
    return freed_since_purge(shard) > 0;
}

static bool always(const struct shard *shard)
{
    (void)shard;
    return true;
}

static bool is_much(size_t size, size_t least, size_t of)
{
    return size >= least && size >= of / 8;
}

static bool is_left(const struct shard *shard)
{
    return __atomic_load_n(&shard->inbox.reader_count, __ATOMIC_RELAXED) == 0;
}

/* Bytes freed from one look at a shard that counts to the next. */
static size_t look_step(const struct shard *shard)
{
    size_t part = ffalloc_peek_used_size(shard->pool) / 8;
    return !is_left(shard) ? LOOK_STEP : part > LEFT_STEP ? part : LEFT_STEP;
}

/* Returns the bytes freed since the last look that counted, if this one does, else 0. */
static size_t take_look(struct shard *shard)
{
    size_t freed_size = ffalloc_peek_freed_size(shard->pool) - shard->freed_size;
    shard->frees_to_look = FREES_TO_LOOK;
    if (freed_size < look_step(shard))
        return 0;
    shard->freed_size += freed_size;
    return freed_size;
}

static bool has_grown(const struct shard *shard)
{
    struct ffalloc_marks marks;
    ffalloc_marks(shard->pool, &marks);
    return is_much(marks.high_water_size - shard->high_water_size, GROWTH, shard->high_water_size);
}

/* Whether all shards together use less, after a look at one that freed so much since the look
 * before: all but a step of it by the free that led here, so it was in use until then. */
static bool has_shrunk(size_t freed_size)
{
    size_t used_size = 0;
    for (unsigned i = 0; i < heap.shard_count; i++) {
        struct ffalloc_pool *pool = __atomic_load_n(&heap.shards[i].pool, __ATOMIC_ACQUIRE);
        used_size += pool ? ffalloc_peek_used_size(pool) : 0;
    }
    size_t most = used_size + (freed_size > LOOK_STEP ? freed_size - LOOK_STEP : 0);
    size_t most_before = __atomic_load_n(&heap.most_used, __ATOMIC_RELAXED);
    most = most_before > most ? most_before : most;
    bool is_less = is_much(most - used_size, SHRINK, most);
    __atomic_store_n(&heap.most_used, is_less ? used_size : most, __ATOMIC_RELAXED);
    return is_less;
}

void heap_look(struct shard *shard)
{
    heap_lock(shard);
    size_t freed_size = take_look(shard);
    if (sampling.size > 0)
        sample_look(shard);
    if (freed_size > 0 && (is_left(shard) || has_grown(shard)))
        purge_holes(shard, HOLE_SIZE);
    heap_unlock(shard);
    if (freed_size > 0 && has_shrunk(freed_size))
        purge_all(HOLE_SIZE, has_freed);
}

/* At most so much was touched and is in no block. */
static size_t most_in_holes(const struct shard *shard)
{
    struct ffalloc_marks marks;
    ffalloc_marks(shard->pool, &marks);
    size_t free_size = marks.high_water_size - marks.used_size;
    size_t freed_size = freed_since_purge(shard);
    return free_size < freed_size ? free_size : freed_size;
}

void heap_look_at_left(struct shard *shard)
{
    heap_lock(shard);
    if (shard->pool && most_in_holes(shard) >= LEFT_STEP)
        purge_holes(shard, HOLE_SIZE);
    heap_unlock(shard);
}

/* In a call of free or realloc: with one thread there is no lock, and the call is over; else
 * whoever gives the lock back looks. */
void heap_on_large_freed(struct ffalloc_pool *pool)
{
    struct shard *shard = heap_shard_of(pool);
    if (shard->lock.state == 0)
        heap_look(shard);
    else
        shard->frees_to_look = 1;
}

bool heap_trim(void)
{
    return purge_all(heap.page_size, always);
}
