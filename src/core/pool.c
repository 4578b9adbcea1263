/* SPDX-License-Identifier: MIT */
/* The public calls but malloc and free, and what all of them share. */
#include "calls.h"
#include "grow.h"
#include "memory.h"

void ffalloc_raise_error(const struct ffalloc_pool *pool, const void *address,
                         enum ffalloc_error kind)
{
    FFALLOC_ASSERT(false);
    if (pool->on_error)
        pool->on_error((struct ffalloc_pool *)(uintptr_t)pool, address, kind);
}

COLD void *ffalloc_refuse_damaged(const struct ffalloc_pool *pool, size_t start)
{
    ffalloc_raise_error(pool, address_of(pool, start), FFALLOC_DAMAGED);
    return NULL;
}

size_t ffalloc_leaf_with_hole(const struct ffalloc_pool *pool, size_t end)
{
    unsigned top = pool->level_count - 1u;
    unsigned level = 0;
    size_t node = end;
    for (;;) {
        /* To the node before, of the first level on which that has the same parent... */
        for (; level < top && !(node & (FANOUT - 1)); level++)
            node >>= FANOUT_LOG2;
        if (level == top && node > FANOUT)
            node = FANOUT; /* the others are 0 (X2) */
        if (node == 0)
            return 0;
        node--;
        /* ...and to its last child, while there is a hole below. (Below a stale one is none.) */
        for (; level > 0 && pool->levels[level][node]; level--)
            node = (node << FANOUT_LOG2) + FANOUT - 1;
        if (level == 0 && pool->levels[0][node])
            return node;
    }
}

/* Of any granule. In a run of blank leaves the hole tells that starts there or before. */
static bool granule_is_used(const struct ffalloc_pool *pool, size_t granule)
{
    const struct leaf *words = &pool->leaves[leaf_of(granule)];
    if (!leaf_is_blank(words))
        return words->used & bit_of(granule);
    size_t leaf = ffalloc_leaf_with_hole(pool, leaf_of(granule) + 1);
    words = &pool->leaves[leaf];
    size_t hole = first_granule_of(leaf) + leaf_last_hole(words);
    return !leaf_ends_in_hole(words) || map_hole_end(pool, hole) <= granule;
}

void ffalloc_wrong_pointer(const struct ffalloc_pool *pool, const void *address)
{
    if (!address)
        return;
    size_t granule = ((uintptr_t)address - (uintptr_t)pool->blocks) >> pool->granule_log2;
    ffalloc_raise_error(pool, address,
                        granule >= pool->granule_count   ? FFALLOC_FOREIGN_POINTER
                        : granule_is_used(pool, granule) ? FFALLOC_NOT_A_BLOCK
                                                         : FFALLOC_DOUBLE_FREE);
}

void *ffalloc_refuse(struct ffalloc_pool *pool, size_t size, size_t alignment)
{
    if (alignment <= bytes_of(pool, 1) && pool_opens(pool, granules_for(pool, size)))
        return ffalloc_malloc(pool, size);
    pool->failed_count++;
    FFALLOC_TRACE_FAIL(pool, size);
    note_request(pool, size);
    void *block = pool->on_out_of_memory ? pool->on_out_of_memory(pool, size, alignment) : NULL;
    if (block)
        pool->is_zeroed = false; /* calloc cannot tell what it has */
    return block;
}

void *ffalloc_calloc(struct ffalloc_pool *pool, size_t count, size_t size)
{
    size_t total = count * size;
    bool is_small = !((count | size) >> WORD_BITS / 2); /* then no product wraps */
    if (!is_small && count && total / count != size)
        return ffalloc_refuse(pool, SIZE_MAX, bytes_of(pool, 1));
    size_t mark = pool->high_water_granules;
    unsigned char *block = (unsigned char *)ffalloc_malloc(pool, total);
    if (!block)
        return NULL;
    if (pool->high_water_granules != mark && pool->is_zeroed) {
        size_t handed_out = (size_t)((unsigned char *)address_of(pool, mark) - block);
        total = total < handed_out ? total : handed_out; /* no hole starts beyond the mark */
    }
    return memset(block, 0, total);
}

void *ffalloc_aligned_alloc(struct ffalloc_pool *pool, size_t alignment, size_t size)
{
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
        return NULL;
    return alignment <= bytes_of(pool, 1) ? ffalloc_malloc(pool, size)
                                          : ffalloc_alloc_aligned(pool, alignment, size);
}

/* Grows the block that ends at `end` by `more` granules if the hole there has as many, or can have:
 * one that ends with the pool. */
static bool grow(struct ffalloc_pool *pool, size_t start, size_t end, size_t more)
{
    size_t hole_end = map_hole_end(pool, end);
    if (hole_end == pool->granule_count && pool_opens(pool, more))
        hole_end = pool->granule_count;
    if (hole_end - end < more || !raise_mark(pool, end + more))
        return false;
    ffalloc_blocks_cut(pool, start, end, hole_end, more);
    return true;
}

static bool resize(struct ffalloc_pool *pool, size_t start, size_t size)
{
    size_t end = map_block_end(pool, start);
    size_t count = granules_for(pool, size);
    size_t before = end - start;
    if (count > before) {
        if (!grow(pool, start, end, count - before))
            return false;
        note_request(pool, size);
        note_used(pool, count - before);
        if (FFALLOC_STATISTICS)
            pool->requested_size += bytes_of(pool, count - before);
    } else if (count < before) {
        ffalloc_blocks_trim(pool, start, start + count, end);
        pool->spare_granules += before - count;
    }
    FFALLOC_TRACE_RESIZE(pool, address_of(pool, start), size);
    if (count < before)
        FFALLOC_LARGE_FREED(pool, bytes_of(pool, before - count));
    return true;
}

bool ffalloc_resize(struct ffalloc_pool *pool, void *block, size_t size)
{
    size_t start;
    if (decode(pool, block, &start))
        return resize(pool, start, size);
    ffalloc_wrong_pointer(pool, block);
    return false;
}

void *ffalloc_realloc(struct ffalloc_pool *pool, void *block, size_t size)
{
    if (!block)
        return ffalloc_malloc(pool, size);
    size_t start;
    if (!decode(pool, block, &start)) {
        ffalloc_wrong_pointer(pool, block);
        return NULL;
    }
    if (resize(pool, start, size))
        return block;
    void *moved = ffalloc_malloc(pool, size);
    if (!moved)
        return NULL;
    size_t before = bytes_of(pool, map_block_end(pool, start) - start);
    memcpy(moved, block, before < size ? before : size);
    ffalloc_free(pool, block);
    return moved;
}

size_t ffalloc_usable_size(const struct ffalloc_pool *pool, const void *block)
{
    size_t start;
    if (decode(pool, block, &start))
        return bytes_of(pool, map_block_end(pool, start) - start);
    ffalloc_wrong_pointer(pool, block);
    return 0;
}

bool ffalloc_owns(const struct ffalloc_pool *pool, const void *address)
{
    size_t offset = (uintptr_t)address - (uintptr_t)pool->blocks;
    return offset >> pool->granule_log2 < pool->granule_count;
}
