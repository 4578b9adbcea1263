/* SPDX-License-Identifier: MIT */
/* What all pools together have and did. */
#include <string.h>

#include "heap.h"

static void add_stats(struct ffalloc_stats *total, const struct ffalloc_stats *stats)
{
    total->granule = stats->granule;
    total->usable_size += stats->usable_size;
    total->used_size += stats->used_size;
    total->peak_used_size += stats->peak_used_size;
    total->free_size += stats->free_size;
    total->least_free_size += stats->least_free_size;
    total->hole_count += stats->hole_count;
    total->block_count += stats->block_count;
    total->alloc_count += stats->alloc_count;
    total->free_count += stats->free_count;
    total->slack_total_size += stats->slack_total_size;
    total->high_water_size += stats->high_water_size;
    if (stats->largest_hole_size > total->largest_hole_size)
        total->largest_hole_size = stats->largest_hole_size;
    if (stats->largest_request_size > total->largest_request_size)
        total->largest_request_size = stats->largest_request_size;
    if (stats->hole_count > 0 &&
        (total->smallest_hole_size == 0 || stats->smallest_hole_size < total->smallest_hole_size))
        total->smallest_hole_size = stats->smallest_hole_size;
}

struct below_mark {
    struct ffalloc_stats *stats;
    unsigned char *mark;
};

static bool add_hole_below_mark(void *context, const struct ffalloc_block *hole)
{
    struct below_mark *below = context;
    unsigned char *start = hole->address;
    if (start >= below->mark)
        return false;
    size_t left = (size_t)(below->mark - start);
    size_t size = hole->size < left ? hole->size : left;
    struct ffalloc_stats *stats = below->stats;
    if (stats->hole_count++ == 0 || size < stats->smallest_hole_size)
        stats->smallest_hole_size = size;
    if (size > stats->largest_hole_size)
        stats->largest_hole_size = size;
    return true;
}

/* A pool that grows ends, for people, where it was ever used: how much of it is open beyond that is
 * chance. */
static void cut_at_mark(const struct ffalloc_pool *pool, struct ffalloc_stats *stats)
{
    struct ffalloc_marks marks;
    ffalloc_marks(pool, &marks);
    struct below_mark below = {stats, (unsigned char *)marks.blocks + marks.high_water_size};
    size_t beyond = stats->usable_size - stats->high_water_size;
    stats->usable_size -= beyond;
    stats->free_size -= beyond;
    stats->least_free_size -= beyond;
    stats->hole_count = 0;
    stats->smallest_hole_size = 0;
    stats->largest_hole_size = 0;
    ffalloc_walk_holes(pool, 1, add_hole_below_mark, &below);
}

/* Blocks that wait in the quarantine, and the guard before the first block, are not the program's.
 */
static void leave_guards_out(struct shard *shard, struct ffalloc_stats *stats)
{
    size_t waiting_size = guards_quarantine(shard)->size;
    stats->block_count = guards_live(shard).block_count;
    stats->alloc_count -=
        stats->alloc_count > 0; /* where not even that guard fits, there is none */
    stats->used_size -= waiting_size;
    stats->free_size += waiting_size;
}

unsigned heap_stats(struct ffalloc_stats *total)
{
    unsigned shards_used = 0;
    memset(total, 0, sizeof *total);
    for (unsigned i = 0; i < heap.shard_count; i++) {
        struct shard *shard = &heap.shards[i];
        struct ffalloc_stats stats;
        heap_lock(shard);
        bool has_pool = shard->pool != NULL;
        if (has_pool)
            ffalloc_stats(shard->pool, &stats);
        if (has_pool && heap.is_growing)
            cut_at_mark(shard->pool, &stats);
        if (has_pool && heap.guards.has_guards)
            leave_guards_out(shard, &stats);
        heap_unlock(shard);
        if (!has_pool)
            continue;
        add_stats(total, &stats);
        shards_used++;
    }
    total->failed_count = (size_t)heap.failed_count;
    return shards_used;
}
