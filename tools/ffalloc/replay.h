/* SPDX-License-Identifier: MIT */
/*
 * The calls of a trace, made again to the shipped core, in one pool. Blocks are placed where the
 * program's were: the first lies at a multiple of 1 GiB, and so of the 2 MiB of libffalloc.so.
 * Their contents are not touched.
 */
#ifndef FFALLOC_TOOLS_REPLAY_H
#define FFALLOC_TOOLS_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ffalloc/ffalloc.h"
#include "trace.h"

#define REPLAY_PAGE 4096u

/* Blocks aligned to this and less lie at the recorded run's offsets. */
#define REPLAY_LARGEST_ALIGNMENT ((uint64_t)2 << 20)

struct replay_block {
    unsigned char *address; /* NULL: not live, or its request failed */
    uint64_t size;          /* bytes asked */
    bool is_nobodys;        /* it fills a hole: see trace.h */
};

struct replay {
    struct ffalloc_pool *pool;
    unsigned char *blocks; /* granule 0 */
    void *memory;
    size_t memory_size;
    size_t granule;
    unsigned granule_log2;
    size_t guard_size;         /* bytes that each block has behind it (ffalloc/guarded.h) */
    struct replay_block *live; /* by id */
    size_t live_size;
    uint64_t hash;         /* hash.h */
    uint64_t failed_count; /* requests that this pool refused */
    uint64_t first_failed; /* number of the first, from 1 */
    uint64_t payload;      /* bytes asked, of all live blocks */
    uint64_t rounded;      /* bytes that they take */
    uint64_t payload_peak;
    uint64_t payload_peak_event;
    uint64_t mark; /* bytes: the end of the highest block so far */
    struct {
        uint64_t event;
        struct trace_event asked;
        uint64_t payload, rounded;
    } at_mark; /* when the mark was last raised */
};

/* A pool in `size` bytes of memory, metadata included; 0: as much as can be had, at most
 * REPLAY_MOST. False if there is none of that size. */
bool replay_open(struct replay *replay, uint64_t size, size_t granule);

/* As that, of a pool whose blocks have guards of so many bytes, as has its start. */
bool replay_open_guarded(struct replay *replay, uint64_t size, size_t granule, size_t guard_size);

/* The bytes that a request of `size` asks the pool for. */
static inline uint64_t replay_gross(const struct replay *replay, uint64_t size)
{
    return replay->guard_size ? size + (size == 0) + replay->guard_size : size;
}

/* Makes the call of an event, number `number` from 1. Returns whether it succeeded. */
bool replay_event(struct replay *replay, const struct trace_event *event, uint64_t number);

/* The bytes that a block takes of which `size` were asked. */
static inline uint64_t replay_rounded(uint64_t size, size_t granule)
{
    return (size + (size == 0) + granule - 1) & ~(uint64_t)(granule - 1);
}

/* The offset of a live block, in bytes from the first granule. */
static inline uint64_t replay_offset(const struct replay *replay, uint32_t id)
{
    return (uint64_t)(replay->live[id].address - replay->blocks);
}

void replay_close(struct replay *replay);

/* The granule to use: what was asked for, else what was recorded, else 16. */
size_t replay_granule(const struct trace *trace, size_t asked);

/* Ends with a line if the trace was not valid. */
void need_valid(const struct trace *trace);

/* A number that the trace knows of its process or its end, or -1. */
double trace_number(const char *json, const char *name);

#endif
