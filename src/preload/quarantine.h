/* SPDX-License-Identifier: MIT */
/*
 * Freed blocks that wait: a ring for each shard, in memory of its own, so that no write after free
 * changes what waits or in which order. The shard's lock is held.
 */
#ifndef FFALLOC_PRELOAD_QUARANTINE_H
#define FFALLOC_PRELOAD_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>

struct waiting {
    unsigned char *block;
    const void *freed_at; /* the call site of free */
};

struct quarantine {
    struct waiting *ring; /* NULL: nothing ever waited */
    size_t capacity;
    size_t first;
    size_t count;
    size_t size; /* bytes that wait, guards included */
};

/* A block of `usable` bytes comes last. False, with nothing changed, if there is no room: for more
 * than `count_most` blocks there is none. */
bool quarantine_add(struct quarantine *quarantine, size_t count_most, struct waiting waiting,
                    size_t usable);

/* Takes the first one out; some block waits. The caller gives its bytes back: `size`. */
struct waiting quarantine_take(struct quarantine *quarantine);

/* The number-th from the first on. */
static inline struct waiting *quarantine_at(const struct quarantine *quarantine, size_t number)
{
    size_t place = quarantine->first + number;
    return &quarantine->ring[place < quarantine->capacity ? place : place - quarantine->capacity];
}

/* Where it waits, NULL if it does not: looks at all. */
struct waiting *quarantine_find(const struct quarantine *quarantine, const unsigned char *block);

#endif
