/* SPDX-License-Identifier: MIT */
/*
 * Pools prepared by an adversary, and calls that are counted one by one. Freestanding: the host
 * (steps.c) and the device (device.c) include it and say how to count.
 */
#ifndef FFALLOC_BENCH_ADVERSARY_H
#define FFALLOC_BENCH_ADVERSARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ffalloc/ffalloc.h"

enum kind { KIND_MALLOC, KIND_FREE, KIND_REALLOC, KIND_ALIGNED, KIND_COUNT };

/* Counted calls, defined by whoever includes this. */
static void *counted_malloc(struct ffalloc_pool *pool, size_t size);
static void *counted_aligned(struct ffalloc_pool *pool, size_t alignment, size_t size);
static void counted_free(struct ffalloc_pool *pool, void *block);

/* What a scenario works on. `blocks` has room for `limit` of them. */
struct stage {
    struct ffalloc_pool *pool;
    size_t granule;
    void **blocks;
    size_t limit;
    size_t count;
    uint32_t seed;
};

/* xorshift32 (Marsaglia, 2003) */
static inline uint32_t draw(struct stage *stage, size_t below)
{
    stage->seed ^= stage->seed << 13;
    stage->seed ^= stage->seed >> 17;
    stage->seed ^= stage->seed << 5;
    return stage->seed % (uint32_t)below;
}

#define MOST_BLOCKS ((size_t)1 << 22) /* more take minutes: small ones do not fill 1 GiB */

/* Blocks of these sizes in turn until `most`, or the pool is full. */
static inline void fill(struct stage *stage, size_t first, size_t second, size_t most)
{
    stage->count = 0;
    while (stage->count < stage->limit && stage->count < most) {
        size_t granules = stage->count % 2 ? second : first;
        void *block = ffalloc_malloc(stage->pool, granules * stage->granule);
        if (!block)
            return;
        stage->blocks[stage->count++] = block;
    }
}

static inline void free_every_second(struct stage *stage, size_t from)
{
    for (size_t i = from; i < stage->count; i += 2) {
        ffalloc_free(stage->pool, stage->blocks[i]);
        stage->blocks[i] = NULL;
    }
}

static inline void counted_pair(struct stage *stage, size_t granules)
{
    counted_free(stage->pool, counted_malloc(stage->pool, granules * stage->granule));
}

/* Up to 100,000 holes, each one granule too small, in every size class. */
static inline void holes_too_small(struct stage *stage, size_t granules)
{
    fill(stage, granules - 1, 1, 200000);
    free_every_second(stage, 0);
    for (unsigned i = 0; i < 4; i++) {
        counted_pair(stage, granules);
        /* Two of the holes and what is between them become one, and are taken again. */
        size_t between = 1 + 2 * (size_t)draw(stage, stage->count / 2 ? stage->count / 2 : 1);
        if (between + 1 >= stage->count)
            continue;
        counted_free(stage->pool, stage->blocks[between]);
        counted_pair(stage, granules);
        ffalloc_free(stage->pool, counted_malloc(stage->pool, (granules - 1) * stage->granule));
        counted_pair(stage, 2 * granules - 1);
        void *low = ffalloc_malloc(stage->pool, (granules - 1) * stage->granule);
        void *again = counted_malloc(stage->pool, stage->granule);
        ffalloc_free(stage->pool, low);
        stage->blocks[between] = again;
    }
}

/* All leaves are full but the first and the last. */
static inline void full_but_the_last(struct stage *stage, size_t granules)
{
    fill(stage, granules, granules, MOST_BLOCKS);
    if (stage->count < 4)
        return;
    size_t last = stage->count - 1;
    for (unsigned i = 0; i < 12; i++) {
        counted_free(stage->pool, stage->blocks[last]);
        counted_free(stage->pool, stage->blocks[0]);
        stage->blocks[0] = counted_malloc(stage->pool, granules * stage->granule);
        stage->blocks[last] = counted_malloc(stage->pool, granules * stage->granule);
    }
}

/* A low free drags the hints down for one size, the next request needs a far hole. */
static inline void defeated_hints(struct stage *stage, size_t granules)
{
    fill(stage, granules, granules + 1, MOST_BLOCKS);
    if (stage->count < 16)
        return;
    size_t middle = stage->count / 2;
    for (unsigned i = 0; i < 16; i++) {
        size_t low = 2 * (i % 4);
        size_t high = (middle + draw(stage, stage->count / 2 - 1)) | 1;
        counted_free(stage->pool, stage->blocks[high]);
        counted_free(stage->pool, stage->blocks[low]);
        stage->blocks[high] = counted_malloc(stage->pool, (granules + 1) * stage->granule);
        stage->blocks[low] = counted_malloc(stage->pool, granules * stage->granule);
    }
}

/* Large holes, larger with the address and in random order, of which two are used by turns. */
static inline void large_holes(struct stage *stage, size_t granules)
{
    fill(stage, granules, 1, MOST_BLOCKS);
    size_t pairs = stage->count / 2;
    if (pairs < 4)
        return;
    for (size_t i = 0; i < pairs; i++)
        if (draw(stage, 2))
            ffalloc_resize(stage->pool, stage->blocks[2 * i],
                           (granules - draw(stage, granules / 4)) * stage->granule);
    for (size_t i = 0; i < pairs; i++) {
        size_t other = draw(stage, pairs);
        void *swapped = stage->blocks[2 * i];
        stage->blocks[2 * i] = stage->blocks[2 * other];
        stage->blocks[2 * other] = swapped;
    }
    size_t step = pairs / 60 + 1; /* frees that are counted; the others only happen */
    for (size_t i = 0; i < pairs; i++)
        if (i % step == 0)
            counted_free(stage->pool, stage->blocks[2 * i]);
        else
            ffalloc_free(stage->pool, stage->blocks[2 * i]);
    for (size_t i = 0; i < pairs; i += step) /* three holes become one */
        counted_free(stage->pool, stage->blocks[2 * i + 1]);
    for (unsigned i = 0; i < 24; i++) {
        void *one = counted_malloc(stage->pool, (granules - i % 8) * stage->granule);
        void *two = counted_malloc(stage->pool, (granules - granules / 8) * stage->granule);
        void *small = counted_malloc(stage->pool, (granules / 3) * stage->granule);
        counted_free(stage->pool, i % 2 ? one : two);
        counted_free(stage->pool, i % 2 ? two : one);
        counted_free(stage->pool, small);
    }
}

/* Aligned requests; the holes are large enough and misaligned, but for one at the end of the pool:
 * without that the rule's third step looks at all of them. */
static inline void misaligned_holes(struct stage *stage, size_t granules)
{
    size_t alignment = 4 * stage->granule;
    while ((uintptr_t)ffalloc_malloc(stage->pool, stage->granule) % alignment != 0)
        continue; /* what follows begins one granule after an aligned address */
    fill(stage, granules, 4 - granules % 4, 200000);
    if (stage->count < 16)
        return;
    for (size_t end = stage->count - stage->count / 8; stage->count > end; stage->count--)
        ffalloc_free(stage->pool, stage->blocks[stage->count - 1]);
    free_every_second(stage, 0);
    for (unsigned i = 0; i < 16; i++)
        counted_free(stage->pool,
                     counted_aligned(stage->pool, alignment, (granules - 1) * stage->granule));
}

/* A checkerboard, the rest of which is freed in random order. */
static inline void checkerboard(struct stage *stage, size_t granules)
{
    fill(stage, granules, granules, MOST_BLOCKS);
    free_every_second(stage, 0);
    size_t half = stage->count / 2;
    size_t step = half / 150 + 1;
    for (size_t i = 0; i < half; i++) {
        size_t other = 2 * (i + (size_t)draw(stage, half - i)) + 1;
        void *block = stage->blocks[other];
        stage->blocks[other] = stage->blocks[2 * i + 1];
        stage->blocks[2 * i + 1] = block;
        if (i % step == 0)
            counted_free(stage->pool, block);
        else
            ffalloc_free(stage->pool, block);
        if (i % (8 * step) == 0)
            counted_pair(stage, granules);
    }
}

static const struct scenario {
    const char *name;
    void (*play)(struct stage *stage, size_t granules);
    uint16_t granules[14]; /* played with each, up to the first 0 */
} scenarios[] = {
    {"holes-too-small", holes_too_small, {2, 3, 4, 5, 6, 8, 9, 12, 17, 33, 64, 130, 255, 300}},
    {"full-but-last", full_but_the_last, {1, 2, 7, 20, 0}},
    {"defeated-hints", defeated_hints, {1, 2, 4, 7, 30, 0}},
    {"large-holes", large_holes, {300, 700, 0}},
    {"misaligned-holes", misaligned_holes, {6, 10, 70, 0}},
    {"checkerboard", checkerboard, {1, 3, 40, 0}},
};
enum { SCENARIO_COUNT = sizeof scenarios / sizeof *scenarios };

#endif
