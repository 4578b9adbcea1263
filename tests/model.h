/* SPDX-License-Identifier: MIT */
/*
 * Naive first fit: a sorted list of blocks, looked through from the start. It is the oracle for
 * every placement of the core, so it is written to be plainly right, not fast.
 */
#ifndef FFALLOC_TESTS_MODEL_H
#define FFALLOC_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>

struct model_block {
    size_t start; /* granules, as everything here */
    size_t count;
    bool is_used;
};

struct model {
    size_t bias; /* granule 0's distance from the aligned address below it, for any alignment */
    size_t high_water;
    size_t used;
    size_t peak_used;
    size_t block_count;
    size_t block_limit;
    struct model_block *blocks;
};

#define MODEL_NONE ((size_t)-1)

void model_init(struct model *model, size_t granules, size_t bias);
void model_destroy(struct model *model);

/* There are `granules` now: as many as before, or more at the end. */
void model_extend(struct model *model, size_t granules);

/* The marks start anew from what is live now. */
void model_reset_marks(struct model *model);

/* The block or hole that contains a granule; NULL if none does. */
const struct model_block *model_find(const struct model *model, size_t granule);

/* The start of the placed block, or MODEL_NONE. Alignment in granules, 1 for none. */
size_t model_alloc(struct model *model, size_t count, size_t alignment);
void model_free(struct model *model, size_t start);
bool model_resize(struct model *model, size_t start, size_t count);
size_t model_move(struct model *model, size_t start, size_t count);
size_t model_realloc(struct model *model, size_t start, size_t count);

/* "#12 .3 #5": used and free blocks with their sizes, for the message of a failed test. */
void model_print(const struct model *model);

#endif
