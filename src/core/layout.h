/* SPDX-License-Identifier: MIT */
/*
 * Where in a pool's memory its parts lie. It depends on the machine, which is a parameter here:
 * the core passes its own, a constant, and target.c another's, to tell on a desktop what a device
 * makes of its memory.
 */
#ifndef FFALLOC_CORE_LAYOUT_H
#define FFALLOC_CORE_LAYOUT_H

#include "pool.h"

#define LEAST_GRANULE_LOG2   3u
#define LARGEST_GRANULE_LOG2 12u

/* The most granules of any pool, as far as size_t counts. */
#define LAYOUT_MOST_GRANULES(word_log2, is_small)                                                  \
    ((is_small)       ? (size_t)((word_log2) == 6 ? NO_LEAF : 0xffff) - 1                          \
     : WORD_LOG2 == 6 ? (size_t)(NO_LEAF - 1) << (word_log2)                                       \
                      : SIZE_MAX)

struct machine {
    unsigned word_log2;   /* bits: 5 or 6 */
    size_t header_size;   /* of struct ffalloc_pool */
    bool is_small;        /* its core is compiled with FFALLOC_SMALL */
    size_t most_granules; /* leaf numbers have 32 bits, and one of them means none; in a small core
                             sizes of holes have half a word */
};

/* What this processor makes of a pool. */
static const struct machine layout_native = {WORD_LOG2, sizeof(struct ffalloc_pool), FFALLOC_SMALL,
                                             LAYOUT_MOST_GRANULES(WORD_LOG2, FFALLOC_SMALL)};

/* How a pool of a number of granules lies in memory; offsets in bytes from the pool's start. */
struct layout {
    size_t leaf_count;
    size_t unit;       /* each array begins on a multiple; 1 but in a pool that grows (grow.h) */
    size_t blocks_off; /* in a pool that grows, once it is known; else 0 */
    size_t leaves_off;
    size_t levels_off;
    size_t metadata_size;
    unsigned level_count;
    unsigned tree_pointers; /* to its levels */
    unsigned page_level_count;
};

static inline size_t layout_align_up(size_t size, size_t alignment)
{
    return (size + alignment - 1) & ~(alignment - 1);
}

static inline struct layout layout_of(struct machine machine, size_t granules)
{
    size_t word_size = (size_t)1 << machine.word_log2 >> 3;
    unsigned fanout_log2 = FANOUT_LOG2_OF(machine.word_log2, machine.is_small);
    size_t fanout = (size_t)1 << fanout_log2;
    size_t entry_size = machine.is_small ? word_size / 2 : 1;
    struct layout layout = {(granules >> machine.word_log2) + 1, 1, 0, 0, 0, 0, 0, 0, 0};
    size_t nodes_size = 0;
    for (size_t count = layout.leaf_count;;) {
        size_t padded = layout_align_up(count, fanout);
        layout.level_count++;
        nodes_size += padded * entry_size;
        if (count <= fanout)
            break;
        count = padded >> fanout_log2;
    }
    size_t page_words_size = 0;
    for (size_t count = machine.is_small ? 0 : page_count_of(granules); count > 0;) {
        size_t padded = layout_align_up(count, PAGE_FANOUT);
        layout.page_level_count++;
        page_words_size += padded * sizeof(uint32_t);
        count = count > PAGE_FANOUT ? padded >> PAGE_FANOUT_LOG2 : 0;
    }
    bool is_lone = layout.level_count == 1 && !machine.is_small;
    if (fanout == 32 && layout.leaf_count == 1) /* then it is in the header (X3) */
        nodes_size = 0;
    layout.tree_pointers = layout.level_count + is_lone;
    size_t pointers_size = (layout.tree_pointers + layout.page_level_count) * word_size;
    layout.leaves_off = layout_align_up(machine.header_size + pointers_size, 2 * word_size);
    layout.levels_off = layout.leaves_off + layout.leaf_count * 2 * word_size;
    layout.metadata_size =
        layout_align_up(layout.levels_off + nodes_size + page_words_size, 2 * word_size);
    return layout;
}

/* The log2 of a valid granule (0 stands for the machine's default), 0 of an invalid one. */
static inline unsigned layout_granule_log2(struct machine machine, size_t granule)
{
    if (granule == 0)
        return machine.word_log2 - 2;
    for (unsigned log2 = LEAST_GRANULE_LOG2; log2 <= LARGEST_GRANULE_LOG2; log2++)
        if (granule == (size_t)1 << log2)
            return log2;
    return 0;
}

/* Bytes from `pool_address` to the first granule. */
static inline size_t layout_blocks_off(const struct layout *layout, uintptr_t pool_address,
                                       unsigned log2)
{
    size_t granule = (size_t)1 << log2;
    return layout_align_up(pool_address + layout->metadata_size, granule) - pool_address;
}

static inline bool layout_fits(struct machine machine, uintptr_t pool_address, size_t size,
                               size_t granules, unsigned log2)
{
    struct layout layout = layout_of(machine, granules);
    size_t blocks_off = layout_blocks_off(&layout, pool_address, log2);
    return blocks_off <= size && granules <= (size - blocks_off) >> log2;
}

/* The most granules that fit in `size` bytes, by bisection: 0 if none does. */
static inline size_t layout_most_granules(struct machine machine, uintptr_t pool_address,
                                          size_t size, unsigned log2)
{
    size_t fit = 0;
    size_t limit = size >> log2;
    if (limit > machine.most_granules)
        limit = machine.most_granules;
    while (fit < limit) {
        size_t middle = fit + (limit - fit + 1) / 2;
        if (layout_fits(machine, pool_address, size, middle, log2))
            fit = middle;
        else
            limit = middle - 1;
    }
    return fit;
}

/* The least aligned memory for so many granules; 0 if there is none, or the granule is invalid. */
static inline size_t layout_pool_size_for(struct machine machine, size_t granules, size_t granule)
{
    unsigned log2 = layout_granule_log2(machine, granule);
    if (!log2 || granules == 0 || granules >= SIZE_MAX >> log2)
        return 0;
    struct layout layout = layout_of(machine, granules);
    size_t size = layout_blocks_off(&layout, 0, log2) + (granules << log2);
    bool is_enough =
        size > granules << log2 && layout_most_granules(machine, 0, size, log2) >= granules;
    return is_enough ? size : 0;
}

#endif
