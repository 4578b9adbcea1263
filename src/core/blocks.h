/* SPDX-License-Identifier: MIT */
/*
 * Holes become blocks and blocks become holes: the three changes that every public call is made
 * of. Each keeps the map, the tree, the hints and the large holes in step.
 */
#ifndef FFALLOC_CORE_BLOCKS_H
#define FFALLOC_CORE_BLOCKS_H

#include "hints.h"

/* Cuts `count` granules from the front of the hole from `start` to `end`. They become a block of
 * their own if `block` is `start`, else part of the one that starts at `block` and ends here. */
void ffalloc_blocks_cut(struct ffalloc_pool *pool, size_t block, size_t start, size_t end,
                        size_t count);

#if !FFALLOC_SMALL

/* Cuts a block of `count` granules from within a hole: what lies before `at` stays a hole. */
void ffalloc_blocks_cut_at(struct ffalloc_pool *pool, size_t hole, size_t at, size_t end,
                           size_t count);

#endif

/* Frees the block that starts at `start`: makes it a hole, merged with one on either side. */
void ffalloc_blocks_release(struct ffalloc_pool *pool, size_t start);

/* Frees the granules from `from` on of the block from `start` to `end`: they become a hole, merged
 * with one behind them. */
void ffalloc_blocks_trim(struct ffalloc_pool *pool, size_t start, size_t from, size_t end);

#endif
