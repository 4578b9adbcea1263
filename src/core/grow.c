/* SPDX-License-Identifier: MIT */
#include "grow.h"

#include "blocks.h"
#include "memory.h"
#include "setup.h"

#if FFALLOC_GROWTH

/* A part of a pool: an array, or the blocks. The header is in one part with the leaves. */
struct part {
    size_t off;  /* bytes from the pool's start, a multiple of the unit */
    size_t size; /* bytes that are in use */
};

/* The leaves, the blocks, and the levels: a level divides by 8 or more. */
#define MOST_PARTS (2 + 2 * WORD_BITS / 3)

static size_t most_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* How a pool that may have `granules` lies in memory. */
static struct layout growing_layout(size_t granules, size_t unit)
{
    struct layout layout = layout_of(layout_native, granules);
    layout.unit = unit;
    layout.leaves_off += layout_align_up(sizeof(struct growth), sizeof(struct leaf));
    layout.levels_off =
        layout_align_up(layout.leaves_off + layout.leaf_count * sizeof(struct leaf), unit);
    return layout;
}

static void add_part(struct part **part, size_t off, size_t size)
{
    (*part)->off = off;
    (*part)->size = size;
    (*part)++;
}

/* Adds the levels of a tree over `most` entries, as far as one over `count` needs them: the first
 * `always` of them, and each above one that has more than a node. Returns where they end. */
static size_t add_levels(struct part **part, size_t off, unsigned levels, unsigned always,
                         size_t unit, size_t most, size_t count, size_t fanout, size_t entry_size)
{
    bool is_needed = true;
    for (unsigned level = 0; level < levels; level++) {
        size_t padded = layout_align_up(count, fanout);
        add_part(part, off, is_needed || level < always ? padded * entry_size : 0);
        is_needed = is_needed && count > fanout;
        most = layout_align_up(most, fanout);
        off += layout_align_up(most * entry_size, unit);
        most /= fanout;
        count = padded / fanout;
    }
    return off;
}

/* The parts as they are when `granules` are open; the blocks are the last. At least a unit before
 * them is never open. Returns how many there are. */
static unsigned parts_of(const struct layout *layout, size_t most, size_t granules, unsigned log2,
                         struct part *parts)
{
    struct part *part = parts;
    size_t leaf_count = leaf_count_of(granules);
    add_part(&part, 0, layout->leaves_off + leaf_count * sizeof(struct leaf));
    bool is_lone = WORD_LOG2 == 6 && !FFALLOC_SMALL && layout->leaf_count == 1;
    unsigned levels = is_lone ? 0 : layout->level_count;
    size_t off =
        add_levels(&part, layout->levels_off, levels, FFALLOC_SMALL ? levels : 2, layout->unit,
                   layout->leaf_count, leaf_count, FANOUT, sizeof(hole_size));
    off = add_levels(&part, off, layout->page_level_count, 1, layout->unit, page_count_of(most),
                     most_of(page_count_of(granules), 1), PAGE_FANOUT, sizeof(uint32_t));
    size_t least_off = off + layout->unit;
    add_part(&part, layout->blocks_off ? layout->blocks_off : least_off, granules << log2);
    return (unsigned)(part - parts);
}

/* What has to be opened beyond `before`, which may be NULL, for `after`. */
static unsigned pieces_between(const struct part *before, const struct part *after, unsigned count,
                               unsigned char *start, size_t unit, struct ffalloc_piece *pieces)
{
    unsigned piece_count = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t from = before ? layout_align_up(before[i].size, unit) : 0;
        size_t to = layout_align_up(after[i].size, unit);
        if (to > from) {
            pieces[piece_count].start = start + after[i].off + from;
            pieces[piece_count++].size = to - from;
        }
    }
    return piece_count;
}

/* Asks the hook; the metadata, all but the last piece, reads as zero then. */
static bool open_pieces(struct ffalloc_pool *pool, const struct growth *growth,
                        const struct ffalloc_piece *pieces, unsigned count)
{
    if (!growth->on_open(pool, pieces, count))
        return false;
    for (unsigned i = 0; !growth->is_zeroed && i + 1 < count; i++)
        memset(pieces[i].start, 0, pieces[i].size);
    return true;
}

/* The granules of whole units that are not fewer, if there may be as many. */
static size_t whole_units(const struct growth *growth, size_t granules, unsigned log2)
{
    size_t whole = layout_align_up(granules, growth->unit >> log2);
    return whole < growth->most_granules ? whole : growth->most_granules;
}

/* The sentinel moves up; what lies between becomes a block that starts where it was. */
static void move_sentinel(struct ffalloc_pool *pool, size_t granules)
{
    size_t leaf = leaf_of(pool->granule_count);
    size_t last = leaf_of(granules);
    if (last == leaf) {
        pool->leaves[last].starts |= bit_of(granules);
    } else {
        pool->leaves[last] = leaf_with(SIZE_MAX, bit_of(granules));
        map_mark_run(pool, leaf + 1, last, RUN_OF_BLOCK);
    }
    pool->granule_count = granules;
}

static bool open_to(struct ffalloc_pool *pool, size_t granules)
{
    const struct growth *growth = growth_of(pool);
    struct layout layout = growing_layout(growth->most_granules, growth->unit);
    layout.blocks_off = (size_t)(pool->blocks - (unsigned char *)pool);
    unsigned log2 = pool->granule_log2;
    size_t before = pool->granule_count;
    struct part parts[2][MOST_PARTS];
    struct ffalloc_piece pieces[MOST_PARTS];
    granules = whole_units(growth, granules, log2);
    parts_of(&layout, growth->most_granules, before, log2, parts[0]);
    unsigned count = parts_of(&layout, growth->most_granules, granules, log2, parts[1]);
    count = pieces_between(parts[0], parts[1], count, (unsigned char *)pool, growth->unit, pieces);
    if (!open_pieces(pool, growth, pieces, count))
        return false;
    move_sentinel(pool, granules);
    ffalloc_blocks_release(pool, before);
    pool->spare_granules -= granules - before; /* it was never used */
    return true;
}

bool ffalloc_open(struct ffalloc_pool *pool, size_t count)
{
    const struct growth *growth = growth_of(pool);
    size_t end = pool->granule_count;
    size_t has = end - map_hole_start(pool, end);
    if (count <= has)
        return true;
    size_t missing = count - has;
    size_t left = growth->most_granules - end;
    if (missing > left)
        return false;
    size_t step = most_of(missing, most_of(end / 8, growth->step_granules));
    step = step < left ? step : left;
    return open_to(pool, end + step) || (missing < step && open_to(pool, end + missing));
}

bool ffalloc_open_fit(struct ffalloc_pool *pool, size_t count, size_t alignment)
{
    size_t hole = map_hole_start(pool, pool->granule_count);
    size_t place = ((uintptr_t)pool->blocks >> pool->granule_log2) + hole;
    size_t skipped = -place & (alignment - 1);
    return count <= SIZE_MAX - skipped && ffalloc_open(pool, skipped + count);
}

/* The granules of a pool that grows in that much memory, in whole units: what the metadata of more
 * than fit leaves. Each array may lose a unit by its alignment, and one lies before the blocks. */
static size_t most_in(uintptr_t address, size_t size, unsigned log2,
                      const struct ffalloc_config *config)
{
    size_t unit = config->open_unit;
    size_t limit = size >> log2;
    if (limit > layout_native.most_granules)
        limit = layout_native.most_granules;
    struct layout layout = layout_of(layout_native, limit);
    size_t lost = layout_blocks_off(&layout, address, log2) +
                  (layout.level_count + layout.page_level_count + 4u) * unit +
                  config->blocks_alignment;
    size_t most = size > lost ? (size - lost) >> log2 : 0;
    return (most < limit ? most : limit) & ~((unit >> log2) - 1);
}

struct ffalloc_pool *ffalloc_init_growing(uintptr_t address, size_t size, unsigned log2,
                                          const struct ffalloc_config *config)
{
    size_t unit = config->open_unit;
    struct growth growth = {config->on_open, unit, most_in(address, size, log2, config),
                            most_of(config->open_step >> log2, 1), config->is_zeroed};
    if (growth.most_granules == 0)
        return NULL;
    struct layout layout = growing_layout(growth.most_granules, unit);
    unsigned char *start = (unsigned char *)address;
    struct ffalloc_pool *pool = (struct ffalloc_pool *)(void *)start;
    struct part parts[MOST_PARTS];
    struct ffalloc_piece pieces[MOST_PARTS];
    unsigned part_count = parts_of(&layout, growth.most_granules, 0, log2, parts);
    uintptr_t blocks = address + parts[part_count - 1].off;
    layout.blocks_off = layout_align_up(blocks, most_of(config->blocks_alignment, unit)) - address;
    for (size_t granules = whole_units(&growth, growth.step_granules, log2);;) {
        parts_of(&layout, growth.most_granules, granules, log2, parts);
        unsigned count = pieces_between(NULL, parts, part_count, start, unit, pieces);
        if (open_pieces(pool, &growth, pieces, count)) {
            *((struct growth *)(void *)(start + layout.leaves_off) - 1) = growth;
            ffalloc_set_up(pool, &layout, start + layout.blocks_off, granules, log2, config);
            pool->is_growing = true;
            return pool;
        }
        if (granules == unit >> log2)
            return NULL;
        granules = unit >> log2;
    }
}

#endif
