/* SPDX-License-Identifier: MIT */
#include "large.h"

/*
 * The first and the last leaf of the run hold its length (M4); the links are in the next words
 * after the first. A word of 64 bits holds both, of 32 bits one.
 */
#if WORD_LOG2 == 6

struct links ffalloc_large_links(const struct ffalloc_pool *pool, uint32_t leaf)
{
    size_t word = pool->leaves[leaf + 2].holes;
    return (struct links){{(uint32_t)word, (uint32_t)(word >> 32)}};
}

static void set_links(struct ffalloc_pool *pool, uint32_t leaf, struct links links)
{
    pool->leaves[leaf + 2].holes = (size_t)links.child[1] << 32 | links.child[0];
}

#else

struct links ffalloc_large_links(const struct ffalloc_pool *pool, uint32_t leaf)
{
    return (struct links){{pool->leaves[leaf + 2].holes, pool->leaves[leaf + 3].holes}};
}

static void set_links(struct ffalloc_pool *pool, uint32_t leaf, struct links links)
{
    pool->leaves[leaf + 2].holes = links.child[0];
    pool->leaves[leaf + 3].holes = links.child[1];
}

#endif

/* A place in the tree: one side of a parent, or the root if there is no parent. */
struct place {
    uint32_t parent;
    unsigned side;
};

static uint32_t place_get(const struct ffalloc_pool *pool, struct place place)
{
    if (place.parent == NO_LEAF)
        return pool->large_root;
    return ffalloc_large_links(pool, place.parent).child[place.side];
}

static void place_set(struct ffalloc_pool *pool, struct place place, uint32_t leaf)
{
    if (place.parent == NO_LEAF) {
        pool->large_root = leaf;
        return;
    }
    struct links links = ffalloc_large_links(pool, place.parent);
    links.child[place.side] = leaf;
    set_links(pool, place.parent, links);
}

/* Walks down the path of the leaf's bits; a larger hole that comes along takes the place of the
 * smaller one there, which goes on down its own path. */
void ffalloc_large_insert(struct ffalloc_pool *pool, uint32_t leaf)
{
    struct place place = {NO_LEAF, 0};
    size_t count = large_count(pool, leaf);
    unsigned depth = pool->path_log2;
    for (;;) {
        uint32_t there = place_get(pool, place);
        if (there == NO_LEAF)
            break;
        size_t there_count = large_count(pool, there);
        if (there_count < count) {
            set_links(pool, leaf, ffalloc_large_links(pool, there));
            place_set(pool, place, leaf);
            uint32_t smaller = there;
            there = leaf;
            leaf = smaller;
            count = there_count;
        }
        depth--;
        place = (struct place){there, leaf >> depth & 1};
    }
    set_links(pool, leaf, (struct links){{NO_LEAF, NO_LEAF}});
    place_set(pool, place, leaf);
}

/* Which of two children is the larger hole; at least one is there. */
static unsigned larger_side(const struct ffalloc_pool *pool, struct links links)
{
    if (links.child[0] == NO_LEAF)
        return 1;
    if (links.child[1] == NO_LEAF)
        return 0;
    return large_count(pool, links.child[1]) > large_count(pool, links.child[0]);
}

/* Closes the gap at a place whose hole, with these links, was taken out: the larger child moves
 * up into it, which leaves a gap below. */
static void close_gap(struct ffalloc_pool *pool, struct place gap, struct links links)
{
    while (links.child[0] != NO_LEAF || links.child[1] != NO_LEAF) {
        unsigned side = larger_side(pool, links);
        uint32_t up = links.child[side];
        struct links below = ffalloc_large_links(pool, up);
        set_links(pool, up, links);
        place_set(pool, gap, up);
        gap = (struct place){up, side};
        links = below;
    }
    place_set(pool, gap, NO_LEAF);
}

void ffalloc_large_delete(struct ffalloc_pool *pool, uint32_t leaf)
{
    struct place place = {NO_LEAF, 0};
    unsigned depth = pool->path_log2;
    for (;;) {
        uint32_t there = place_get(pool, place);
        if (there == leaf || there == NO_LEAF)
            break;
        depth--;
        place = (struct place){there, leaf >> depth & 1};
    }
    if (place_get(pool, place) == leaf)
        close_gap(pool, place, ffalloc_large_links(pool, leaf));
}

/* Whether a link leads to a hole of at least `count` granules. */
static bool fits(const struct ffalloc_pool *pool, uint32_t leaf, size_t count)
{
    return leaf != NO_LEAF && large_count(pool, leaf) >= count;
}

/* The lowest leaf in the tree below `leaf` with a hole of at least `count`, or `lowest`. All of
 * the left is below all of the right, and a child is the largest on its side: if the left child
 * fits, nothing on the right is wanted. */
static uint32_t lowest_below(const struct ffalloc_pool *pool, uint32_t leaf, size_t count,
                             uint32_t lowest)
{
    while (fits(pool, leaf, count)) {
        lowest = leaf < lowest ? leaf : lowest;
        struct links links = ffalloc_large_links(pool, leaf);
        leaf = links.child[fits(pool, links.child[0], count) ? 0 : 1];
    }
    return lowest;
}

size_t ffalloc_large_next(const struct ffalloc_pool *pool, size_t from, size_t count)
{
    uint32_t lowest = NO_LEAF;
    for (unsigned place = CARVED; place <= GROWN; place++) {
        uint32_t leaf = pool->loose[place];
        if (fits(pool, leaf, count) && leaf >= from && leaf < lowest)
            lowest = leaf;
    }
    /* Down the path of `from`: what hangs off to the right of it is above `from`, and the lower
     * in address the deeper it hangs. */
    uint32_t right = NO_LEAF;
    uint32_t leaf = pool->large_root;
    for (unsigned depth = pool->path_log2; fits(pool, leaf, count);) {
        if (leaf >= from && leaf < lowest)
            lowest = leaf;
        struct links links = ffalloc_large_links(pool, leaf);
        if (depth-- == 0)
            break;
        unsigned side = from >> depth & 1;
        if (side == 0 && fits(pool, links.child[1], count))
            right = links.child[1];
        leaf = links.child[side];
    }
    lowest = lowest_below(pool, right, count, lowest);
    return lowest == NO_LEAF ? NOT_FOUND : lowest;
}
