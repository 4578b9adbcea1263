/* SPDX-License-Identifier: MIT */
/* How a pool is laid out in memory, and its first state: one hole. */
#include "choices.h"
#include "grow.h"
#include "index.h"
#include "memory.h"
#include "setup.h"

/* Bytes from one array to the next. */
static size_t array_size(const struct layout *layout, size_t size)
{
    return FFALLOC_GROWTH ? layout_align_up(size, layout->unit) : size;
}

static void init_levels(struct ffalloc_pool *pool, const struct layout *layout)
{
    unsigned char *start = (unsigned char *)pool + layout->levels_off;
    size_t count = layout->leaf_count;
    pool->level_count = (uint8_t)layout->level_count;
    for (unsigned level = 0; level < layout->level_count; level++) {
        pool->levels[level] = (hole_size *)(void *)start;
        start += array_size(layout, padded_count(count) * sizeof(hole_size));
        count = padded_count(count) >> FANOUT_LOG2;
    }
#if !FFALLOC_SMALL
    pool->tree_pointers = (uint8_t)layout->tree_pointers;
    if (layout->level_count == 1)
        pool->levels[1] = pool->lone;
    if (WORD_LOG2 == 6 && layout->leaf_count == 1)
        pool->levels[0] = pool->lone;
#endif
    pool->page_level_count = layout->page_level_count > 0;
    count = (layout->leaf_count - 1) >> (LARGE_LOG2 - WORD_LOG2); /* pages */
    for (unsigned level = 0; level < layout->page_level_count; level++) {
        pool->levels[layout->tree_pointers + level] = (hole_size *)(void *)start;
        count = layout_align_up(count, PAGE_FANOUT);
        start += array_size(layout, count * sizeof(uint32_t));
        count >>= PAGE_FANOUT_LOG2;
    }
}

/* The map and the index of a pool that is one hole, over memory that reads as zero. */
static void init_hole(struct ffalloc_pool *pool)
{
    size_t count = pool->granule_count;
    pool->leaves[leaf_of(count)] = leaf_with(-bit_of(count), bit_of(count));
    map_mark_hole(pool, 0, count);
    ffalloc_index_init(pool);
}

void ffalloc_set_up(struct ffalloc_pool *pool, const struct layout *layout, unsigned char *blocks,
                    size_t granules, unsigned log2, const struct ffalloc_config *config)
{
    pool->leaves = (struct leaf *)(void *)((unsigned char *)pool + layout->leaves_off);
    pool->blocks = blocks;
    pool->granule_count = granules;
    pool->granule_log2 = (uint8_t)log2;
    pool->is_zeroed = config->is_zeroed;
    pool->on_error = config->on_error;
    pool->on_out_of_memory = config->on_out_of_memory;
#if !FFALLOC_SMALL && !FFALLOC_STATISTICS
    pool->quick_size = most_quick_size(pool);
#endif
    init_levels(pool, layout);
    init_hole(pool);
}

/* The alignment of a pool's memory; 0 if it is to grow and cannot. */
static size_t alignment_for(const struct ffalloc_config *config, size_t granule)
{
    size_t unit = config->open_unit;
    if (!config->on_open)
        return sizeof(struct leaf);
    bool is_valid = FFALLOC_GROWTH && unit >= granule && unit >= 64 && (unit & (unit - 1)) == 0;
    return is_valid ? unit : 0;
}

struct ffalloc_pool *ffalloc_init_with(void *memory, size_t size,
                                       const struct ffalloc_config *config)
{
    size_t granule = config->granule ? config->granule : FFALLOC_GRANULE;
    unsigned log2 = layout_granule_log2(layout_native, granule);
    size_t alignment = alignment_for(config, granule);
    uintptr_t address = layout_align_up((uintptr_t)memory, alignment);
    size_t skipped = address - (uintptr_t)memory;
    if (!memory || !log2 || !alignment || skipped > size)
        return NULL;
#if FFALLOC_GROWTH
    if (config->on_open)
        return ffalloc_init_growing(address, size - skipped, log2, config);
#endif
    size_t granules = layout_most_granules(layout_native, address, size - skipped, log2);
    if (granules == 0)
        return NULL;

    struct layout layout = layout_of(layout_native, granules);
    unsigned char *start = (unsigned char *)memory + skipped;
    memset(start, 0, config->is_zeroed ? layout.leaves_off : layout.metadata_size);
    struct ffalloc_pool *pool = (struct ffalloc_pool *)(void *)start;
    unsigned char *blocks = start + layout_blocks_off(&layout, address, log2);
    ffalloc_set_up(pool, &layout, blocks, granules, log2, config);
    return pool;
}

struct ffalloc_pool *ffalloc_init(void *memory, size_t size)
{
    static const struct ffalloc_config defaults = {0, false, NULL, NULL, NULL, 0, 0, 0};
    return ffalloc_init_with(memory, size, &defaults);
}

size_t ffalloc_pool_size_for(size_t granules, size_t granule)
{
    return layout_pool_size_for(layout_native, granules, granule ? granule : FFALLOC_GRANULE);
}

size_t ffalloc_metadata_size(size_t size, size_t granule)
{
    unsigned log2 = layout_granule_log2(layout_native, granule ? granule : FFALLOC_GRANULE);
    size_t granules = log2 ? layout_most_granules(layout_native, 0, size, log2) : 0;
    if (granules == 0)
        return 0;
    struct layout layout = layout_of(layout_native, granules);
    return layout_blocks_off(&layout, 0, log2);
}
