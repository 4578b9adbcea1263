/* SPDX-License-Identifier: MIT */
/*
 * How far a pool is in use now: the end of its highest live block. Unlike the mark it goes down,
 * which is what counts where two pools grow towards each other.
 */
#ifndef FFALLOC_TOOLS_EXTENT_H
#define FFALLOC_TOOLS_EXTENT_H

#include "replay.h"

struct extent {
    struct end {
        uint64_t offset; /* bytes: where the block ended when it was placed */
        uint32_t id;
    } * ends; /* a heap, the highest first; those of blocks that have moved or gone are left in */
    size_t size, count;
};

/* The block of this id has been placed, or has another size. */
void extent_note(struct extent *extent, const struct replay *replay, uint32_t id);

/* Bytes from the pool's first granule on; 0: nothing is live. */
uint64_t extent_now(struct extent *extent, const struct replay *replay);

void extent_free(struct extent *extent);

#endif
