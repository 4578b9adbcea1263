/* SPDX-License-Identifier: MIT */
/*
 * Where an aligned request goes: the rule that ffalloc.h states for ffalloc_aligned_alloc.
 *
 * Inside a leaf all starts are tried at once: the positions at which enough free granules begin,
 * and-ed with the aligned ones. The rule counts groups of 64 granules, not leaves, so that it is
 * the same whatever the word.
 */
#include "calls.h"

#if !FFALLOC_SMALL

struct request {
    size_t count;     /* granules */
    size_t alignment; /* granules, a power of two above 1 */
    size_t bias;      /* granule 0's distance from the aligned address below it, in granules */
    size_t mask;      /* a bit for each aligned place in a leaf, if it is the same for all */
    size_t inner;     /* the mask, or all bits if it is not, and the first bit */
};

static size_t align_up(const struct request *request, size_t granule)
{
    size_t mask = request->alignment - 1;
    return ((granule + request->bias + mask) & ~mask) - request->bias;
}

/* A bit for each place in the leaf whose address is aligned. */
static size_t aligned_mask(const struct request *request, size_t leaf)
{
    size_t first = align_up(request, first_granule_of(leaf)) - first_granule_of(leaf);
    if (first >= WORD_BITS)
        return 0;
    size_t mask = 1;
    for (size_t step = request->alignment; step < WORD_BITS; step <<= 1)
        mask |= mask << step;
    return mask << first;
}

/* The lowest aligned fit in the holes that start in `leaf`, or NOT_FOUND; `has_one` tells whether
 * one of them is large enough at all. */
HOT size_t fit_in_leaf(const struct ffalloc_pool *pool, const struct request *request, size_t leaf,
                       size_t *hole, bool *has_one)
{
    const struct leaf *words = &pool->leaves[leaf];
    size_t first = first_granule_of(leaf);
    size_t runs = 0;
    if (request->count < WORD_BITS)
        runs = mask_runs(leaf_own_free(pool, leaf), request->count);
    *has_one = runs;
    runs &= request->alignment <= WORD_BITS ? request->mask : aligned_mask(request, leaf);
    if (runs) {
        size_t at = first + lowest_bit(runs);
        *hole = map_hole_start(pool, at);
        return at;
    }
    /* What is left is a hole that reaches beyond the leaf. */
    if (!leaf_ends_in_hole(words))
        return NOT_FOUND;
    *hole = first + leaf_last_hole(words);
    size_t at = align_up(request, *hole);
    size_t end = map_hole_end(pool, *hole);
    *has_one |= end - *hole >= request->count;
    return at < end && end - at >= request->count ? at : NOT_FOUND;
}

/* Whether all holes in a leaf lie in it from end to end and off its aligned places. (Then its byte
 * counts nothing else, X1: if that says so, one of them is large enough.) */
HOT bool has_no_fit(const struct leaf *words, const struct request *request)
{
    return !(~words->used & request->inner) && (!leaf_ends_in_hole(words) || words[1].used & 1);
}

/* The first leaf after `leaf` in which a hole of at least `count` granules starts: often the next.
 */
HOT size_t leaf_after(const struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    leaf++;
    if (count > SATURATED)
        return index_large(pool, leaf, count);
    if (leaf < leaf_count_of(pool->granule_count) && pool->levels[0][leaf] >= count)
        return leaf;
    return ffalloc_index_next(pool, leaf, (unsigned)count);
}

/* Step 2 of the rule. */
static size_t fit_anywhere(struct ffalloc_pool *pool, const struct request *request, size_t *hole)
{
    size_t count = request->count + request->alignment - 1;
    size_t leaf = index_lowest(pool, count);
    if (leaf == NOT_FOUND)
        return NOT_FOUND;
    *hole = leaf_lowest_fit(pool, leaf, count);
    return align_up(request, *hole);
}

/* The rule. Sets `hole` to the hole that the space lies in. */
static size_t aligned_fit(struct ffalloc_pool *pool, size_t count, size_t alignment_granules,
                          size_t *hole)
{
    /* No pool ends within an alignment's or a count's reach of SIZE_MAX granules, so that sums
     * of one granule number and these two cannot wrap. */
    if (count > pool->granule_count)
        return NOT_FOUND;
    struct request request = {count, alignment_granules, 0, 0, SIZE_MAX};
    request.bias = ((uintptr_t)pool->blocks >> pool->granule_log2) & (alignment_granules - 1);
    request.mask = aligned_mask(&request, 0);
    if (alignment_granules <= WORD_BITS)
        request.inner = request.mask | 1;

    unsigned groups = 0;
    size_t group = NOT_FOUND;
    size_t leaf = index_lowest(pool, count);
    for (; leaf != NOT_FOUND; leaf = leaf_after(pool, leaf, count)) {
        bool has_one = true;
        size_t found_hole;
        size_t found = NOT_FOUND;
        if (!has_no_fit(&pool->leaves[leaf], &request))
            found = fit_in_leaf(pool, &request, leaf, &found_hole, &has_one);
        bool is_other_group = GROUP_LOG2 == WORD_LOG2 || leaf >> (GROUP_LOG2 - WORD_LOG2) != group;
        if (has_one && is_other_group) {
            group = leaf >> (GROUP_LOG2 - WORD_LOG2);
            if (++groups == GROUP_LIMIT + 1) {
                size_t at = fit_anywhere(pool, &request, hole);
                if (at != NOT_FOUND)
                    return at;
            }
        }
        if (found != NOT_FOUND) {
            *hole = found_hole;
            return found;
        }
    }
    return NOT_FOUND;
}

void *ffalloc_alloc_aligned(struct ffalloc_pool *pool, size_t alignment, size_t size)
{
    size_t count = granules_for(pool, size);
    note_request(pool, size);
    size_t hole;
    size_t at = aligned_fit(pool, count, alignment >> pool->granule_log2, &hole);
    if (at == NOT_FOUND)
        return ffalloc_refuse(pool, size, alignment);
    size_t leaf = leaf_of(at);
    if (leaf == leaf_of(hole) && bit_of(at) < pool->leaves[leaf].used)
        return place_in_leaf(pool, leaf, &pool->leaves[leaf], bit_of(at), count, size);
    size_t end = map_hole_end(pool, hole);
    if (at == hole)
        return ffalloc_place(pool, at, end, count, size);
    ffalloc_blocks_cut_at(pool, hole, at, end, count);
    return note_placed(pool, at, count, size);
}

#endif
