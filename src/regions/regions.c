/* SPDX-License-Identifier: MIT */
/*
 * A heap of several pools, as include/ffalloc/regions.h has it. The layer keeps nothing that the
 * pools know: which region has a block is asked of their addresses, and what is used of their
 * marks. So a call that goes to a region's pool directly does no harm but to the peak.
 */
#include "ffalloc/regions.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define restrict __restrict
#endif
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);
#ifdef __cplusplus
}
#endif

struct request {
    size_t alignment; /* a power of two */
    size_t size;
    bool is_zeroed;
};

static size_t larger(size_t one, size_t other)
{
    return one > other ? one : other;
}

/* The smaller of two of which 0 is none. */
static size_t smaller(size_t one, size_t other)
{
    return one - 1 < other - 1 ? one : other;
}

void ffalloc_regions_marks(const struct ffalloc_regions *heap, struct ffalloc_marks *marks)
{
    memset(marks, 0, sizeof *marks);
    for (const struct ffalloc_region *region = heap->first; region; region = region->next) {
        struct ffalloc_marks its;
        ffalloc_marks(region->pool, &its);
        marks->usable_size += its.usable_size;
        marks->used_size += its.used_size;
        marks->high_water_size += its.high_water_size;
    }
    marks->least_free_size = marks->usable_size - heap->peak_used_size;
}

/* Notes what is used now, and `more` that was for a moment. */
static void note_peak(struct ffalloc_regions *heap, size_t more)
{
    struct ffalloc_marks marks;
    ffalloc_regions_marks(heap, &marks);
    heap->peak_used_size = larger(heap->peak_used_size, marks.used_size + more);
}

/* Whether the region has a byte of the memory. */
static bool overlaps(const struct ffalloc_region *region, const void *memory, size_t size)
{
    size_t offset = (uintptr_t)memory - (uintptr_t)region->memory.start;
    return offset < region->memory.size || (size_t)0 - offset < size;
}

bool ffalloc_regions_add(struct ffalloc_regions *heap, struct ffalloc_region *region, void *memory,
                         size_t size, const struct ffalloc_config *config)
{
    struct ffalloc_config own;
    memset(&own, 0, sizeof own);
    if (config)
        own = *config;
    own.on_out_of_memory = NULL; /* the next region is asked */
    struct ffalloc_region **end = &heap->first;
    for (; *end; end = &(*end)->next)
        if (overlaps(*end, memory, size))
            return false;
    struct ffalloc_pool *pool = ffalloc_init_with(memory, size, &own);
    if (!pool)
        return false;
    region->pool = pool;
    region->memory.start = memory;
    region->memory.size = size;
    region->next = NULL;
    *end = region;
    return true;
}

static void *ask(const struct ffalloc_region *region, const struct request *request)
{
    return request->is_zeroed
               ? ffalloc_calloc(region->pool, 1, request->size)
               : ffalloc_aligned_alloc(region->pool, request->alignment, request->size);
}

/* Asks the regions in order, but for `asked`. */
static void *ask_all(const struct ffalloc_regions *heap, const struct ffalloc_region *asked,
                     const struct request *request)
{
    void *block = NULL;
    for (const struct ffalloc_region *region = heap->first; region && !block; region = region->next)
        if (region != asked)
            block = ask(region, request);
    return block;
}

/* Ends a request that was served by a block, or by none. */
static void *finish(struct ffalloc_regions *heap, void *block, const struct request *request)
{
    if (block) {
        note_peak(heap, 0);
        return block;
    }
    heap->failed_count++;
    return heap->on_out_of_memory ? heap->on_out_of_memory(heap, request->size, request->alignment)
                                  : NULL;
}

void *ffalloc_regions_malloc(struct ffalloc_regions *heap, size_t size)
{
    return ffalloc_regions_aligned_alloc(heap, 1, size);
}

void *ffalloc_regions_calloc(struct ffalloc_regions *heap, size_t count, size_t size)
{
    bool fits = size == 0 || count <= SIZE_MAX / size;
    struct request request = {1, fits ? count * size : SIZE_MAX, true};
    return finish(heap, ask_all(heap, NULL, &request), &request);
}

static bool is_power_of_two(size_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

void *ffalloc_regions_aligned_alloc(struct ffalloc_regions *heap, size_t alignment, size_t size)
{
    struct request request = {alignment, size, false};
    if (!is_power_of_two(alignment))
        return NULL;
    return finish(heap, ask_all(heap, NULL, &request), &request);
}

void *ffalloc_regions_alloc_preferring(struct ffalloc_regions *heap, struct ffalloc_region *region,
                                       size_t alignment, size_t size)
{
    struct request request = {alignment, size, false};
    if (!is_power_of_two(alignment))
        return NULL;
    void *block = ask(region, &request);
    return finish(heap, block ? block : ask_all(heap, region, &request), &request);
}

void *ffalloc_regions_alloc_in(struct ffalloc_regions *heap, struct ffalloc_region *region,
                               size_t alignment, size_t size)
{
    struct request request = {alignment, size, false};
    if (!is_power_of_two(alignment))
        return NULL;
    return finish(heap, ask(region, &request), &request);
}

struct ffalloc_region *ffalloc_regions_find(const struct ffalloc_regions *heap, const void *address)
{
    struct ffalloc_region *region = heap->first;
    while (region && !ffalloc_owns(region->pool, address))
        region = region->next;
    return region;
}

/* The pool that carries out a call about a block. Of a pointer into no region the first one tells
 * what it is. NULL if there is none. */
static struct ffalloc_pool *pool_of(const struct ffalloc_regions *heap, const void *block)
{
    struct ffalloc_region *region = ffalloc_regions_find(heap, block);
    region = region ? region : heap->first;
    return region ? region->pool : NULL;
}

/* Moves a block that its own region cannot give the space. */
static void *move(struct ffalloc_regions *heap, void *block, size_t old_size, size_t size)
{
    struct ffalloc_region *own = ffalloc_regions_find(heap, block);
    struct request request = {1, size, false};
    void *moved = finish(heap, ask_all(heap, own, &request), &request);
    if (moved) {
        memcpy(moved, block, smaller(old_size, size));
        ffalloc_free(own->pool, block);
    }
    return moved;
}

void *ffalloc_regions_realloc(struct ffalloc_regions *heap, void *block, size_t size)
{
    if (!block)
        return ffalloc_regions_malloc(heap, size);
    size_t old_size = ffalloc_regions_usable_size(heap, block);
    if (old_size == 0)
        return NULL; /* on_error was told */
    void *moved = ffalloc_realloc(pool_of(heap, block), block, size);
    if (!moved)
        return move(heap, block, old_size, size);
    note_peak(heap, moved == block ? 0 : old_size);
    return moved;
}

bool ffalloc_regions_resize(struct ffalloc_regions *heap, void *block, size_t size)
{
    struct ffalloc_pool *pool = pool_of(heap, block);
    bool is_done = pool && ffalloc_resize(pool, block, size);
    if (is_done)
        note_peak(heap, 0);
    return is_done;
}

void ffalloc_regions_free(struct ffalloc_regions *heap, void *block)
{
    struct ffalloc_pool *pool = pool_of(heap, block);
    if (pool)
        ffalloc_free(pool, block);
}

size_t ffalloc_regions_usable_size(const struct ffalloc_regions *heap, const void *block)
{
    const struct ffalloc_pool *pool = pool_of(heap, block);
    return pool ? ffalloc_usable_size(pool, block) : 0;
}

/* But for what is of all regions at one time. */
static void add_stats(struct ffalloc_stats *total, const struct ffalloc_stats *its)
{
    total->granule = smaller(total->granule, its->granule);
    total->usable_size += its->usable_size;
    total->used_size += its->used_size;
    total->free_size += its->free_size;
    total->largest_hole_size = larger(total->largest_hole_size, its->largest_hole_size);
    total->smallest_hole_size = smaller(total->smallest_hole_size, its->smallest_hole_size);
    total->hole_count += its->hole_count;
    total->block_count += its->block_count;
    total->alloc_count += its->alloc_count;
    total->free_count += its->free_count;
    total->largest_request_size = larger(total->largest_request_size, its->largest_request_size);
    total->slack_total_size += its->slack_total_size;
    total->high_water_size += its->high_water_size;
}

void ffalloc_regions_stats(const struct ffalloc_regions *heap, struct ffalloc_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    for (const struct ffalloc_region *region = heap->first; region; region = region->next) {
        struct ffalloc_stats its;
        ffalloc_stats(region->pool, &its);
        add_stats(stats, &its);
    }
    stats->peak_used_size = heap->peak_used_size;
    stats->least_free_size = stats->usable_size - heap->peak_used_size;
    stats->failed_count = heap->failed_count;
}

void ffalloc_regions_reset_marks(struct ffalloc_regions *heap)
{
    for (struct ffalloc_region *region = heap->first; region; region = region->next)
        ffalloc_reset_marks(region->pool);
    heap->peak_used_size = 0;
    note_peak(heap, 0);
}

bool ffalloc_regions_check(const struct ffalloc_regions *heap, struct ffalloc_fault *fault,
                           const struct ffalloc_region **where)
{
    const struct ffalloc_region *region = heap->first;
    while (region && ffalloc_check(region->pool, fault))
        region = region->next;
    if (region && where)
        *where = region;
    return !region;
}
