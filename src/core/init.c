/* SPDX-License-Identifier: MIT */
/* How a pool is laid out in memory, and its first state: one hole. */
#include "choices.h"
#include "index.h"
#include "layout.h"
#include "memory.h"

/* What this processor makes of a pool. */
static const struct machine native = {WORD_LOG2, sizeof(struct ffalloc_pool), FFALLOC_SMALL,
                                      LAYOUT_MOST_GRANULES(WORD_LOG2, FFALLOC_SMALL)};

static void init_levels(struct ffalloc_pool *pool, const struct layout *layout)
{
    unsigned char *start = (unsigned char *)pool + layout->levels_off;
    size_t count = layout->leaf_count;
    pool->level_count = (uint8_t)layout->level_count;
    for (unsigned level = 0; level < layout->level_count; level++) {
        pool->levels[level] = (hole_size *)(void *)start;
        start += padded_count(count) * sizeof(hole_size);
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
    count = page_count_of(pool->granule_count);
    for (unsigned level = 0; level < layout->page_level_count; level++) {
        pool->levels[layout->tree_pointers + level] = (hole_size *)(void *)start;
        count = layout_align_up(count, PAGE_FANOUT);
        start += count * sizeof(uint32_t);
        count >>= PAGE_FANOUT_LOG2;
    }
}

/* The map and the index of a pool that is one hole, over memory that reads as zero. */
static void init_hole(struct ffalloc_pool *pool)
{
    size_t count = pool->granule_count;
    pool->leaves[leaf_of(count)] = (struct leaf){-bit_of(count), bit_of(count)};
    map_mark_hole(pool, 0, count);
    ffalloc_index_init(pool);
}

struct ffalloc_pool *ffalloc_init_with(void *memory, size_t size,
                                       const struct ffalloc_config *config)
{
    size_t granule = config->granule ? config->granule : FFALLOC_GRANULE;
    unsigned log2 = layout_granule_log2(native, granule);
    uintptr_t address = layout_align_up((uintptr_t)memory, sizeof(struct leaf));
    size_t skipped = address - (uintptr_t)memory;
    if (!memory || !log2 || skipped > size)
        return NULL;
    size_t granules = layout_most_granules(native, address, size - skipped, log2);
    if (granules == 0)
        return NULL;

    struct layout layout = layout_of(native, granules);
    unsigned char *start = (unsigned char *)memory + skipped;
    memset(start, 0, config->is_zeroed ? layout.leaves_off : layout.metadata_size);
    struct ffalloc_pool *pool = (struct ffalloc_pool *)(void *)start;
    pool->leaves = (struct leaf *)(void *)(start + layout.leaves_off);
    pool->blocks = start + layout_blocks_off(&layout, address, log2);
    pool->granule_count = granules;
    pool->granule_log2 = (uint8_t)log2;
    pool->is_zeroed = config->is_zeroed;
    pool->on_error = config->on_error;
    pool->on_out_of_memory = config->on_out_of_memory;
#if !FFALLOC_SMALL && !FFALLOC_STATISTICS
    pool->quick_size = most_quick_size(pool);
#endif
    init_levels(pool, &layout);
    init_hole(pool);
    return pool;
}

struct ffalloc_pool *ffalloc_init(void *memory, size_t size)
{
    static const struct ffalloc_config defaults = {0, false, NULL, NULL};
    return ffalloc_init_with(memory, size, &defaults);
}

size_t ffalloc_pool_size_for(size_t granules, size_t granule)
{
    return layout_pool_size_for(native, granules, granule ? granule : FFALLOC_GRANULE);
}

size_t ffalloc_metadata_size(size_t size, size_t granule)
{
    unsigned log2 = layout_granule_log2(native, granule ? granule : FFALLOC_GRANULE);
    size_t granules = log2 ? layout_most_granules(native, 0, size, log2) : 0;
    if (granules == 0)
        return 0;
    struct layout layout = layout_of(native, granules);
    return layout_blocks_off(&layout, 0, log2);
}
