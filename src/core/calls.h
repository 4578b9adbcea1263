/* SPDX-License-Identifier: MIT */
/* What the public calls share: decoding a pointer, counting, telling what is wrong. */
#ifndef FFALLOC_CORE_CALLS_H
#define FFALLOC_CORE_CALLS_H

#include "blocks.h"
#include "choices.h"

/* Of the rule of ffalloc_aligned_alloc. */
#define GROUP_LOG2 6 /* granules */
/*
 * Groups looked at before a larger hole is taken instead. For ffmpeg, which makes all its
 * requests aligned to 64, 8 gives the same pool as 16 (6.28 MB; 4: 6.46, 64: 6.43) in half the
 * time.
 */
#define GROUP_LIMIT 8

/*
 * The granule at an address, or a number that is too large for one. This is the one place where a
 * pointer from outside is decoded. The offset is rotated, not shifted: bits below the granule come
 * to the top.
 */
static inline size_t granule_of(const struct ffalloc_pool *pool, const void *address)
{
    size_t offset = (uintptr_t)address - (uintptr_t)pool->blocks;
    unsigned log2 = pool->granule_log2;
    return offset >> log2 | offset << (WORD_BITS - log2);
}

/* Whether `block` is the start of a live block; sets `start` to its granule. */
static inline bool decode(const struct ffalloc_pool *pool, const void *block, size_t *start)
{
    size_t granule = granule_of(pool, block);
    *start = granule;
    return granule < pool->granule_count && map_is_used_start(pool, granule);
}

/* The highest leaf below `end` in which a hole starts, as the index has it, or 0. */
size_t ffalloc_leaf_with_hole(const struct ffalloc_pool *pool, size_t end);

/* Tells on_error what is wrong with a pointer that did not decode, if it is not NULL. */
void ffalloc_wrong_pointer(const struct ffalloc_pool *pool, const void *address);

/* Serves a request of an alignment above the granule; the small core, of any. */
void *ffalloc_alloc_aligned(struct ffalloc_pool *pool, size_t alignment, size_t size);

/* Tells on_error. */
void ffalloc_raise_error(const struct ffalloc_pool *pool, const void *address,
                         enum ffalloc_error kind);

/* Ends a call that found no hole: opens more of a pool that grows and serves it from there, but for
 * an aligned request; else counts it, and returns what on_out_of_memory does, or NULL. */
void *ffalloc_refuse(struct ffalloc_pool *pool, size_t size, size_t alignment);

#if !FFALLOC_SMALL

/* Places a block of `count` granules at the front of the hole from `start` to `end`. Returns NULL,
 * after telling, if it is too small. */
void *ffalloc_place(struct ffalloc_pool *pool, size_t start, size_t end, size_t count, size_t size);

#endif

/* Bytes asked for, whether they are served or not. */
static inline void note_request(struct ffalloc_pool *pool, size_t size)
{
    if (!FFALLOC_STATISTICS || size <= pool->largest_request_size)
        return;
    pool->largest_request_size = size;
#if !FFALLOC_SMALL
    uint16_t most = most_quick_size(pool);
    pool->quick_size = size < most ? (uint16_t)size : most;
#endif
}

/* Tells on_error that a block was about to lie behind the pool. Returns NULL. */
void *ffalloc_refuse_damaged(const struct ffalloc_pool *pool, size_t start);

/* A block is to end at granule `end`: returns whether that lies in the pool. Asked where the mark
 * rises, it costs other calls nothing. */
HOT bool raise_mark(struct ffalloc_pool *pool, size_t end)
{
    if (end > pool->high_water_granules) {
        if (end > pool->granule_count)
            return false;
        pool->high_water_granules = end;
    }
    return true;
}

/* `count` more granules are used. */
HOT void note_used(struct ffalloc_pool *pool, size_t count)
{
    if (FFALLOC_STATISTICS)
        pool->granted_granules += count;
    bool is_peak =
        pool->spare_granules < count; /* gcc makes a slower call of an overflow builtin */
    pool->spare_granules -= count;
    if (FFALLOC_STATISTICS && is_peak) {
        pool->most_used_granules -= pool->spare_granules;
        pool->spare_granules = 0;
    }
}

/* A block was placed; returns its address. */
HOT void *note_placed(struct ffalloc_pool *pool, size_t start, size_t count, size_t size)
{
    note_used(pool, count);
    pool->alloc_count++;
    if (FFALLOC_STATISTICS)
        pool->requested_size += size;
    FFALLOC_TRACE_ALLOC(pool, address_of(pool, start), size);
    return address_of(pool, start);
}

#if !FFALLOC_SMALL

/* A block was placed in a leaf that does not end in a hole. Returns it. */
void *ffalloc_after_placed(struct ffalloc_pool *pool, size_t leaf, size_t free, void *block);

/* A block of granules `its` was placed in a leaf that ends in another hole. Returns it. */
void *ffalloc_after_inner(struct ffalloc_pool *pool, size_t leaf, size_t its, void *block);

/* A leaf's largest hole was its last, of which `rest` granules remain. Returns `block`. */
void *ffalloc_after_last(struct ffalloc_pool *pool, size_t leaf, size_t rest, void *block);

/*
 * Places a block of `count` granules at `bit` of a leaf, in a hole that does not reach the leaf's
 * end. If none does, the leaf's byte is counted anew whichever hole was taken: that is cheaper than
 * to ask.
 */
HOT void *place_in_leaf(struct ffalloc_pool *pool, size_t leaf, struct leaf *words, size_t bit,
                        size_t count, size_t size)
{
    EXPECT(count >= 1 && count < WORD_BITS && !(words->used & ((bit << count) - bit)));
    size_t its = (bit << count) - bit;
    size_t start = first_granule_of(leaf) + lowest_bit(bit);
    if (!raise_mark(pool, start + count))
        return ffalloc_refuse_damaged(pool, start);
    size_t used = words->used | its;
    words->used = used;
    words->starts |= bit;
    void *block = note_placed(pool, start, count, size);
    if (!(used >> (WORD_BITS - 1))) /* leaf_ends_in_hole, of what is at hand */
        return ffalloc_after_inner(pool, leaf, its, block);
    if (mask_runs_of_4(~used))
        return ffalloc_after_placed(pool, leaf, ~used, block);
    if (index_lower_leaf(pool, leaf, mask_longest_below_4(~used)))
        return ffalloc_index_lose(pool, leaf >> FANOUT_LOG2, block);
    return block;
}

#endif

/* A block of `count` granules was freed. */
HOT void note_freed(struct ffalloc_pool *pool, size_t count)
{
    pool->spare_granules += count;
}

#endif
