/* SPDX-License-Identifier: MIT */
/*
 * A whole trace in memory, to be replayed again and again. Each block has a number of its own from
 * its first call to its free, which its events have for an id: unlike a trace's ids, which are used
 * again.
 */
#ifndef FFALLOC_TOOLS_LIFE_H
#define FFALLOC_TOOLS_LIFE_H

#include <stddef.h>
#include <stdint.h>

#include "trace.h"

struct block {
    uint64_t largest;      /* bytes: the most that was asked for */
    uint32_t birth, death; /* numbers of events; a death of 0: it lives to the end */
    uint32_t resize_count;
};

struct life {
    struct trace_event *events; /* number 1 comes first; time is microseconds since the start */
    size_t event_size;
    uint32_t event_count;
    struct block *blocks;
    size_t block_size;
    uint32_t block_count;
};

/* Reads a trace from its start. Ends with a line if it is not valid. */
void life_load(struct life *life, struct trace *trace);
void life_free(struct life *life);

static inline const struct trace_event *life_event(const struct life *life, uint64_t number)
{
    return &life->events[number - 1];
}

/* The call that a block comes from. */
static inline const struct trace_event *life_birth(const struct life *life, uint32_t block)
{
    return life_event(life, life->blocks[block].birth);
}

/* The most bytes that live blocks, rounded up to granules, take at once: no pool has less. */
uint64_t life_bound(const struct life *life, size_t granule);

#endif
