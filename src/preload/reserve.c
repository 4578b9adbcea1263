/* SPDX-License-Identifier: MIT */
/* How much address space the arena gets, and how it is cut into shards. */
#include "heap.h"

/* What to ask for under a tool that cannot give terabytes: Valgrind, and AddressSanitizer, which
 * keeps a byte of its own for each 8 of ours. */
#define WATCHED_ARENA_SIZE ((size_t)1 << (sizeof(void *) == 8 ? 32 : 29))

/* A shard has at least this much address space, or there are fewer of them. */
#define LEAST_SHARD_SIZE ((size_t)1 << (sizeof(void *) == 8 ? 36 : 30))

#define LEAST_ARENA_SIZE ((size_t)1 << 20)

/* In less than this, pools begin on a page only. */
#define LEAST_ALIGNED_SIZE (32 * LARGEST_FIXED_ALIGNMENT)

/*
 * Reserves the most that can be had, by halving. Below the limit the system is short of address
 * space or of what it promises, and the program needs some too: at most half of what is left is
 * taken.
 */
static size_t reserve_most(size_t limit)
{
    for (size_t size = limit; size >= LEAST_ARENA_SIZE; size /= 2) {
        size_t tried = size == limit ? size : size * 2;
        heap.arena = os_reserve(tried);
        if (heap.arena) {
            os_release(heap.arena + size, tried - size);
            return size;
        }
    }
    return 0;
}

/* Reserves whole pages for a pool of that size, and no more, such that its blocks can begin where
 * they should. */
static bool reserve_exactly(size_t size)
{
    size_t mask = heap.page_size - 1;
    size_t metadata_size = ffalloc_metadata_size(size, heap.options.granule);
    size_t all_size = ((size + mask) & ~mask) + heap.blocks_alignment + heap.page_size;
    unsigned char *all = all_size > size ? os_reserve(all_size) : NULL;
    if (!all)
        return false;
    unsigned char *pool = heap_pool_start(all, metadata_size);
    size_t before = (size_t)(pool - all) & ~mask;
    size_t end = ((size_t)(pool - all) + size + mask) & ~mask;
    os_release(all, before);
    os_release(all + end, all_size - end);
    heap.arena = all + before;
    heap.arena_size = end - before;
    return true;
}

static bool is_reserved_for_pool(void)
{
    size_t size = options_pool_memory(&heap.options);
    if (size == 0) {
        heap_message("FFALLOC_POOL=%zu is no size for a pool: ignored", heap.options.pool_size);
        return false;
    }
    if (!reserve_exactly(size)) {
        heap_message("FFALLOC_POOL=%zu cannot be reserved: ignored", heap.options.pool_size);
        return false;
    }
    heap.shard_size = size;
    heap.shard_count = 1;
    heap.shard_log2 = sizeof(size_t) * 8 - 1;
    return true;
}

void heap_reserve(void)
{
    heap.blocks_alignment = LARGEST_FIXED_ALIGNMENT;
    if (heap.options.pool_size > 0 && is_reserved_for_pool())
        return;
    heap.options.pool_size = 0;
    bool is_watched = heap.watchers.valgrind || annotate_has_asan();
    size_t size = reserve_most(is_watched ? WATCHED_ARENA_SIZE : os_reserve_limit());
    size_t shard_distance = size / SHARD_LIMIT;
    if (shard_distance < LEAST_SHARD_SIZE)
        shard_distance = size < LEAST_SHARD_SIZE ? size : LEAST_SHARD_SIZE;
    heap.arena_size = size;
    heap.shard_count = shard_distance ? (unsigned)(size / shard_distance) : 0;
    while (shard_distance >> heap.shard_log2 > 1)
        heap.shard_log2++;
    if (shard_distance < LEAST_ALIGNED_SIZE) /* what alignment costs is too much */
        heap.blocks_alignment = heap.page_size;
    heap.shard_size = shard_distance - heap.blocks_alignment;
}
