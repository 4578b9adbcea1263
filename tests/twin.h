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
    uint64_t hash;   /* of all offsets so far */
    char fault[160]; /* what differed first; empty: nothing */
};

/*
 * A pool in `size` bytes, at `misalignment` bytes from an address aligned to TWIN_ALIGNMENT.
 * Returns false if no pool fits there.
 */
bool twin_init(struct twin *twin, size_t size, size_t granule, size_t misalignment,
               size_t slot_count);
void twin_destroy(struct twin *twin);

/* Each returns false if the core differs from the model; `fault` then says how. */
bool twin_alloc(struct twin *twin, size_t slot, size_t size, size_t alignment);
bool twin_calloc(struct twin *twin, size_t slot, size_t size);
bool twin_realloc(struct twin *twin, size_t slot, size_t size);
bool twin_resize(struct twin *twin, size_t slot, size_t size);
bool twin_free(struct twin *twin, size_t slot);

/* ffalloc_check, and the statistics against the model's blocks. */
bool twin_check(struct twin *twin);

/* A reproducible random number (xorshift64*, Vigna 2014). */
uint64_t twin_random(uint64_t *state);

/* `calls` random calls in a style chosen by the seed; checks every `check_every` calls. */
bool twin_run(struct twin *twin, uint64_t seed, size_t calls, size_t check_every);

#endif
