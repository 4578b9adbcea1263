/* SPDX-License-Identifier: MIT */
/*
 * Where an aligned request goes: the rule that ffalloc.h states for ffalloc_aligned_alloc.
 *
 * Inside a leaf all starts are tried at once: the positions at which enough free granules begin,
 * and-ed with the aligned ones. With 64-bit words the leaves of a node that have a hole large
 * enough are found at once, too: ffmpeg's trace, three quarters of whose aligned requests pass nine
 * leaves, took 451 instructions a call where each leaf was searched for, and takes 359. (On a
 * Cortex-M4 that was slower.) The rule counts groups of 64 granules, not leaves, so that it is the
 * same whatever the word.
 */
#include "calls.h"
#include "grow.h"

#if !FFALLOC_SMALL

struct request {
    size_t count;     /* granules */
    size_t alignment; /* granules, a power of two above 1 */
    size_t bias;      /* granule 0's distance from the aligned address below it, in granules */
    size_t mask;      /* a bit for each aligned place in a leaf, if it is the same for all */
    size_t inner;     /* the mask, or all bits if it is not, and the first bit */
};

/* Leaves in which a hole is large enough: those of a node that are not yet looked at, where a node
 * is looked at all at once; else, and if holes are large, one. */
struct leaves {
    size_t first;
    size_t bits; /* bit i: leaf first + i */
};

HOT struct leaves leaves_from(size_t first, size_t bits)
{
    struct leaves leaves = {first, bits};
    return leaves;
}

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
    if (request->alignment >= WORD_BITS)
        return (size_t)1 << first;
    static const size_t each[] = {SIZE_MAX / 0x3, SIZE_MAX / 0xf, SIZE_MAX / 0xff,
                                  SIZE_MAX / 0xffff, SIZE_MAX / 0xffffffff};
    return each[lowest_bit(request->alignment) - 1] << first;
}

/* The lowest aligned fit in the holes that start in `leaf`, or NOT_FOUND. Sets `hole` to the hole
 * it is in or, without one, to any that is large enough; to NOT_FOUND if none is. */
APART size_t fit_in_leaf(const struct ffalloc_pool *pool, const struct request *request,
                         size_t leaf, size_t *hole)
{
    const struct leaf *words = &pool->leaves[leaf];
    size_t first = first_granule_of(leaf);
    size_t runs = 0;
    if (request->count < WORD_BITS)
        runs = mask_runs(leaf_own_free(pool, leaf), request->count);
    *hole = runs ? first + lowest_bit(runs) : NOT_FOUND;
    runs &= request->alignment <= WORD_BITS ? request->mask : aligned_mask(request, leaf);
    if (runs) {
        size_t at = first + lowest_bit(runs);
        *hole = map_hole_start(pool, at);
        return at;
    }
    /* What is left is a hole that reaches beyond the leaf. */
    if (!leaf_ends_in_hole(words))
        return NOT_FOUND;
    size_t last = first + leaf_last_hole(words);
    size_t end = map_hole_end(pool, last);
    if (end - last < request->count)
        return NOT_FOUND;
    *hole = last;
    size_t at = align_up(request, last);
    return at < end && end - at >= request->count ? at : NOT_FOUND;
}

/* Whether all holes in a leaf lie in it from end to end and off its aligned places. (Then its byte
 * counts nothing else, X1: if that says so, one of them is large enough.) */
HOT bool has_no_fit(const struct leaf *words, const struct request *request)
{
    return !(~words->used & request->inner) && (!leaf_ends_in_hole(words) || words[1].used & 1);
}

#if HAS_HINTS

/* Those of the node that `leaf` is in. */
HOT struct leaves leaves_of_node(const struct ffalloc_pool *pool, size_t leaf, size_t count)
{
    size_t first = leaf & ~(size_t)(FANOUT - 1);
    return leaves_from(first, node_reach(pool->levels[0] + first, (unsigned)count));
}

#endif

/* The lowest leaves in which holes of `count` granules start. None is below a hint (X3), also not
 * in its node. */
HOT struct leaves lowest_leaves(struct ffalloc_pool *pool, size_t count)
{
#if HAS_HINTS
    if (count <= SATURATED) {
        struct leaves leaves = leaves_of_node(pool, pool->hints[hint_of(count)], count);
        if (leaves.bits)
            return leaves;
        size_t leaf = ffalloc_index_first(pool, count);
        return leaf == NOT_FOUND ? leaves : leaves_of_node(pool, leaf, count);
    }
#endif
    size_t leaf = index_lowest(pool, count);
    return leaves_from(leaf, leaf != NOT_FOUND);
}

/* The lowest ones beyond those. */
HOT struct leaves leaves_beyond(const struct ffalloc_pool *pool, struct leaves leaves, size_t count)
{
    size_t leaf = leaves.first + 1;
    if (count > SATURATED) {
        leaf = index_large(pool, leaf, count);
        return leaves_from(leaf, leaf != NOT_FOUND);
    }
#if HAS_HINTS
    size_t node = leaves.first >> FANOUT_LOG2;
    while (!leaves.bits && (node = next_node(pool, 1, node, (unsigned)count)) != NOT_FOUND)
        leaves = leaves_of_node(pool, node << FANOUT_LOG2, count);
    return leaves;
#else
    if (leaf >= leaf_count_of(pool->granule_count) || pool->levels[0][leaf] < count)
        leaf = ffalloc_index_next(pool, leaf, (unsigned)count);
    return leaves_from(leaf, leaf != NOT_FOUND);
#endif
}

/* Takes the lowest of the leaves, or of those beyond them; returns whether there is one. */
HOT bool take_leaf(const struct ffalloc_pool *pool, struct leaves *leaves, size_t count,
                   size_t *leaf)
{
    if (!leaves->bits) {
        *leaves = leaves_beyond(pool, *leaves, count);
        if (!leaves->bits)
            return false;
    }
    *leaf = leaves->first + lowest_bit(leaves->bits);
    leaves->bits &= leaves->bits - 1;
    return true;
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

    struct leaves leaves = lowest_leaves(pool, count);
    if (!leaves.bits)
        return NOT_FOUND;
    unsigned groups = 0;
    size_t group = NOT_FOUND;
    size_t leaf;
    while (take_leaf(pool, &leaves, count, &leaf)) {
        size_t found = NOT_FOUND;
        size_t found_hole;
        bool has_one = true;
        if (!has_no_fit(&pool->leaves[leaf], &request)) {
            found = fit_in_leaf(pool, &request, leaf, &found_hole);
            has_one = found_hole != NOT_FOUND;
        }
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
    size_t alignment_granules = alignment >> pool->granule_log2;
    note_request(pool, size);
    pool_opens_aligned(pool, count, alignment_granules);
    size_t hole;
    size_t at = aligned_fit(pool, count, alignment_granules, &hole);
    if (at == NOT_FOUND && pool_opens_fit(pool, count, alignment_granules))
        at = aligned_fit(pool, count, alignment_granules, &hole);
    if (at == NOT_FOUND)
        return ffalloc_refuse(pool, size, alignment);
    if (at >= pool->granule_count || hole > at)
        return ffalloc_refuse_damaged(pool, hole);
    size_t leaf = leaf_of(at);
    if (leaf == leaf_of(hole) && bit_of(at) < pool->leaves[leaf].used)
        return place_in_leaf(pool, leaf, &pool->leaves[leaf], bit_of(at), count, size);
    size_t end = map_hole_end(pool, hole);
    if (at == hole || at >= end || end - at < count)
        return ffalloc_place(pool, at, end, count, size);
    if (!raise_mark(pool, at + count))
        return ffalloc_refuse_damaged(pool, at);
    ffalloc_blocks_cut_at(pool, hole, at, end, count);
    return note_placed(pool, at, count, size);
}

#endif
