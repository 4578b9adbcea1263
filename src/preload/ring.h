/* SPDX-License-Identifier: MIT */
/*
 * What a recorded process and the recorder (`ffalloc record`) share: a file that both have
 * mapped, with a header and a ring of words. The process writes an event for each call and
 * moves `head`; the recorder reads it and moves `tail`. What was written survives the process,
 * however that ends. When the ring is full the process waits.
 *
 * An event is RING_EVENT_WORDS words, and then its extra words:
 *   ticks  when, of ring_ticks()
 *   call   address of the block 48 | log2 of the alignment 5 | has an old block 1 |
 *          number of extra words 6 | op 4
 *   asked  size 48 | thread 16
 *   site   the return address of the call
 * The address of the old block, if the event has one, is its first extra word. All others are
 * further return addresses, outwards; those of RING_MAPS are text, a piece of /proc/self/maps.
 *
 * Events are in one order, that in which the calls took effect.
 */
#ifndef FFALLOC_PRELOAD_RING_H
#define FFALLOC_PRELOAD_RING_H

#include <stdint.h>
#include <time.h>

#define RING_MAGIC       "ffring2"
#define RING_DATA_OFF    4096u               /* bytes: where the words begin in the file */
#define RING_WORDS       ((uint64_t)1 << 19) /* 4 MiB: 131,072 events */
#define RING_EVENT_WORDS 4u
#define RING_EXTRA_LIMIT 63u

enum ring_op {
    RING_NOTHING,
    RING_MALLOC,
    RING_CALLOC,
    RING_REALLOC,
    RING_FREE,
    RING_ALIGNED,
    RING_FAILED, /* a request that was refused */
    RING_MAPS,
    RING_LIVE, /* a block that lives as recording begins anew; its size is rounded up to granules */
    RING_READY /* the last of those, by address of each pool, has been written: others are gone */
};

struct ring {
    char magic[8];
    uint32_t process;
    uint32_t parent;       /* the process of whose fork this one is, 0 if it began with exec */
    uint32_t pointer_size; /* bytes, as are all sizes here */
    uint32_t page_size;
    uint64_t granule;
    uint64_t arena; /* address */
    uint64_t arena_size;
    uint64_t blocks; /* address of the first pool's first granule */
    uint64_t blocks_size;
    uint64_t pool_size; /* FFALLOC_POOL; 0 without */
    uint64_t start_ticks;
    uint64_t start_ns; /* CLOCK_MONOTONIC at start_ticks */
    char program[512];
    _Alignas(64) uint64_t head; /* words ever written */
    _Alignas(64) uint64_t tail; /* words ever read */
    uint64_t reader_beat;       /* the recorder counts this up while it lives */
    uint32_t is_unwanted;       /* the recorder's word to stop */
};

/* The cheapest clock there is; the recorder finds out its rate. */
static inline uint64_t ring_ticks(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_ia32_rdtsc();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

#endif
