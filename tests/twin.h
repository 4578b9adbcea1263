/* SPDX-License-Identifier: MIT */
/*
 * A pool and the naive model side by side: every call goes to both, and every answer is
 * compared. Used by the unit tests, the long random test and the fuzzer.
 */
#ifndef FFALLOC_TESTS_TWIN_H
#define FFALLOC_TESTS_TWIN_H

#include <stdint.h>

#include "../src/core/pool.h"
#include "model.h"

/* A small core's pools have so many granules at most. */
#define MOST_GRANULES (FFALLOC_SMALL ? (size_t)SATURATED - 1 : SIZE_MAX)

/* Bytes: the largest alignment for which a run is the same each time. */
#define TWIN_ALIGNMENT ((size_t)1 << 16)

struct twin_slot {
    unsigned char *block; /* NULL: not live */
    size_t size;
    unsigned char stamp; /* what the first and last byte of the block hold */
};

struct twin {
    struct ffalloc_pool *pool;
    struct model model;
    unsigned char *memory; /* as allocated, `blocks` is inside */
    unsigned char *blocks; /* address of granule 0 */
    size_t granule;
    size_t slot_count;
    struct twin_slot *slots;
    struct ffalloc_stats counts; /* those that are not told by the model's blocks */
    uint8_t refusals;            /* bit n % 8: whether a growing pool's n-th step is refused */
    unsigned open_count;
    uint64_t hash;   /* of all offsets so far */
    char fault[160]; /* what differed first; empty: nothing */
};

/*
 * A pool in `size` bytes, at `misalignment` bytes from an address aligned to TWIN_ALIGNMENT.
 * Returns false if no pool fits there.
 */
bool twin_init(struct twin *twin, size_t size, size_t granule, size_t misalignment,
               size_t slot_count);

/* The same of any config, whose hooks are the twin's own. A pool that has an open_unit grows; some
 * of its steps may be refused, as the bits of `refusals` say. */
bool twin_init_with(struct twin *twin, size_t size, size_t misalignment, size_t slot_count,
                    const struct ffalloc_config *config, uint8_t refusals);
void twin_destroy(struct twin *twin);

/* Each returns false if the core differs from the model; `fault` then says how. */
bool twin_alloc(struct twin *twin, size_t slot, size_t size, size_t alignment);
bool twin_calloc(struct twin *twin, size_t slot, size_t count, size_t size);
bool twin_realloc(struct twin *twin, size_t slot, size_t size);
bool twin_resize(struct twin *twin, size_t slot, size_t size);
bool twin_free(struct twin *twin, size_t slot);

/* Finds what lies at a byte of the pool, or beyond it. */
bool twin_find(struct twin *twin, size_t off);

/* One of the calls that take a block, of a byte of the pool, or beyond it, at which none starts:
 * it is told and changes nothing. Without effect where one does start. */
bool twin_misuse(struct twin *twin, size_t off, unsigned which);

/* ffalloc_reset_marks. */
bool twin_reset(struct twin *twin);

/* ffalloc_check, and the statistics against the model's blocks. */
bool twin_check(struct twin *twin);

/* A reproducible random number (xorshift64*, Vigna 2014). */
uint64_t twin_random(uint64_t *state);

/* `calls` random calls in a style chosen by the seed; checks every `check_every` calls. */
bool twin_run(struct twin *twin, uint64_t seed, size_t calls, size_t check_every);

#endif
