/* SPDX-License-Identifier: MIT */
/* How a pool is laid out in memory, and its first state: one hole. */
#include "index.h"
#include "memory.h"

#define LEAST_GRANULE_LOG2   3
#define LARGEST_GRANULE_LOG2 12

/* Leaf numbers have 32 bits, and one of them means none. */
#if WORD_LOG2 == 6
#define MOST_GRANULES ((size_t)(NO_LEAF - 1) << WORD_LOG2)
#else
#define MOST_GRANULES SIZE_MAX
#endif

static size_t align_up(size_t size, size_t alignment)
{
    return (size + alignment - 1) & ~(alignment - 1);
}

void ffalloc_layout(struct layout *layout, size_t granules)
{
    layout->leaf_count = leaf_count_of(granules);
    size_t nodes_size = 0;
    size_t count = layout->leaf_count;
    layout->level_count = 0;
    for (;;) {
        layout->level_count++;
        nodes_size += padded_count(count);
        if (count <= FANOUT)
            break;
        count = padded_count(count) >> FANOUT_LOG2;
    }
    size_t page_words_size = 0;
    layout->page_level_count = 0;
    for (size_t words = page_count_of(granules); words > 0;) {
        layout->page_level_count++;
        page_words_size += words * sizeof(uint32_t);
        words = words > PAGE_FANOUT ? (words + PAGE_FANOUT - 1) >> PAGE_FANOUT_LOG2 : 0;
    }
    unsigned pointer_count = layout->level_count + layout->page_level_count;
    size_t header_size = sizeof(struct ffalloc_pool) + pointer_count * sizeof(uint8_t *);
    layout->leaves_off = align_up(header_size, sizeof(struct leaf));
    layout->levels_off = layout->leaves_off + layout->leaf_count * sizeof(struct leaf);
    layout->metadata_size =
        align_up(layout->levels_off + nodes_size + page_words_size, sizeof(struct leaf));
}

/* Returns the log2 of a valid granule, 0 of an invalid one. */
static unsigned granule_log2_of(size_t granule)
{
    if (granule == 0)
        return WORD_LOG2 == 6 ? 4 : 3;
    for (unsigned log2 = LEAST_GRANULE_LOG2; log2 <= LARGEST_GRANULE_LOG2; log2++)
        if (granule == (size_t)1 << log2)
            return log2;
    return 0;
}

/* Bytes from `pool_address` to the first granule. */
static size_t blocks_off_of(const struct layout *layout, uintptr_t pool_address, unsigned log2)
{
    return align_up(pool_address + layout->metadata_size, (size_t)1 << log2) - pool_address;
}

static bool granules_fit(uintptr_t pool_address, size_t size, size_t granules, unsigned log2)
{
    struct layout layout;
    ffalloc_layout(&layout, granules);
    size_t blocks_off = blocks_off_of(&layout, pool_address, log2);
    return blocks_off <= size && granules <= (size - blocks_off) >> log2;
}

/* The most granules that fit, by bisection: 0 if none does. */
static size_t most_granules(uintptr_t pool_address, size_t size, unsigned log2)
{
    size_t fit = 0;
    size_t limit = size >> log2;
    if (limit > MOST_GRANULES)
        limit = MOST_GRANULES;
    while (fit < limit) {
        size_t middle = fit + (limit - fit + 1) / 2;
        if (granules_fit(pool_address, size, middle, log2))
            fit = middle;
        else
            limit = middle - 1;
    }
    return fit;
}

static void init_levels(struct ffalloc_pool *pool, const struct layout *layout)
{
    uint8_t *start = (uint8_t *)pool + layout->levels_off;
    size_t count = layout->leaf_count;
    pool->level_count = (uint8_t)layout->level_count;
    for (unsigned level = 0; level < layout->level_count; level++) {
        pool->levels[level] = start;
        start += padded_count(count);
        count = padded_count(count) >> FANOUT_LOG2;
    }
    pool->page_level_count = layout->page_level_count > 0;
    for (unsigned level = 0; level < layout->page_level_count; level++) {
        pool->levels[layout->level_count + level] = start;
        start += page_level_count_of(pool, level) * sizeof(uint32_t);
    }
}

/* The map and the index of a pool that is one hole, over memory that reads as zero. */
static void init_hole(struct ffalloc_pool *pool)
{
    size_t count = pool->granule_count;
    pool->loose[CARVED] = NO_LEAF;
    pool->loose[GROWN] = NO_LEAF;
    for (unsigned i = 0; i < STALE_NODES; i++)
        pool->stale[i] = NO_LEAF;
    map_add_start(pool, 0, true);
    map_add_start(pool, count, false);
    map_mark_run(pool, 0, count);
    index_gained(pool, 0, count);
    if (count >= LARGE)
        large_add(pool, 0, CARVED);
}

struct ffalloc_pool *ffalloc_init_with(void *memory, size_t size,
                                       const struct ffalloc_config *config)
{
    unsigned log2 = granule_log2_of(config->granule);
    uintptr_t address = align_up((uintptr_t)memory, sizeof(struct leaf));
    size_t skipped = address - (uintptr_t)memory;
    if (!memory || !log2 || skipped > size)
        return NULL;
    size_t granules = most_granules(address, size - skipped, log2);
    if (granules == 0)
        return NULL;

    struct layout layout;
    ffalloc_layout(&layout, granules);
    unsigned char *start = (unsigned char *)memory + skipped;
    memset(start, 0, config->is_zeroed ? layout.leaves_off : layout.metadata_size);
    struct ffalloc_pool *pool = (struct ffalloc_pool *)(void *)start;
    pool->leaves = (struct leaf *)(void *)(start + layout.leaves_off);
    pool->blocks = start + blocks_off_of(&layout, address, log2);
    pool->granule_count = granules;
    pool->granule_log2 = (uint8_t)log2;
    pool->is_zeroed = config->is_zeroed;
    pool->on_error = config->on_error;
    pool->on_out_of_memory = config->on_out_of_memory;
    init_levels(pool, &layout);
    init_hole(pool);
    return pool;
}

struct ffalloc_pool *ffalloc_init(void *memory, size_t size)
{
    static const struct ffalloc_config defaults;
    return ffalloc_init_with(memory, size, &defaults);
}

size_t ffalloc_pool_size_for(size_t granules, size_t granule)
{
    unsigned log2 = granule_log2_of(granule);
    if (!log2 || granules == 0 || granules >= SIZE_MAX >> log2)
        return 0;
    struct layout layout;
    ffalloc_layout(&layout, granules);
    size_t size = blocks_off_of(&layout, 0, log2) + (granules << log2);
    return size > granules << log2 && most_granules(0, size, log2) >= granules ? size : 0;
}

size_t ffalloc_metadata_size(size_t size, size_t granule)
{
    unsigned log2 = granule_log2_of(granule);
    size_t granules = log2 ? most_granules(0, size, log2) : 0;
    if (granules == 0)
        return 0;
    struct layout layout;
    ffalloc_layout(&layout, granules);
    return blocks_off_of(&layout, 0, log2);
}
