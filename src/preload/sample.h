/* SPDX-License-Identifier: MIT */
/*
 * FFALLOC_SAMPLE=N: about one request of N gets pages of its own, outside the pools.
 *
 * There is a fixed number of *slots*, each of a few pages between two that have no access. A block
 * ends where its slot does, as far as its alignment lets it, and only the pages that it touches are
 * open. When it is freed they are closed; of the closed slots the one that waited longest is taken
 * next, with the memory that it has: 4 MiB at most, for all. While all are in use nothing is
 * sampled.
 *
 * So a touch beyond the block, or after its free, is a fault, which is told before the program's
 * own handler of SIGSEGV, or the default one, has it. What lies on the block's pages and was not
 * asked for has a pattern, verified when the block is freed.
 *
 * Where calls take the short way they are counted in looks (heap_look), at each 64th free: then a
 * sample may be *due*, and the thread has no short way until its next request. So the short way is
 * as it is without samples; but a program that never frees has none, and one that frees many blocks
 * between two requests has fewer. Where N is small, and where calls take the long way for other
 * reasons, each thread counts every request. How many are passed by is drawn anew each time.
 */
#ifndef FFALLOC_PRELOAD_SAMPLE_H
#define FFALLOC_PRELOAD_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLE_SLOTS      256u
#define SAMPLE_SLOT_PAGES 4u

/* Below it every request is counted. */
#define SAMPLE_LOOKS 256u

struct shard;

struct sampling {
    size_t every;         /* requests to one that is sampled, on average; 0: none is */
    unsigned char *start; /* of the slots, and the page without access before them */
    size_t size;          /* bytes of all this; 0: nothing is sampled */
    size_t count;         /* blocks ever sampled */
};

extern struct sampling sampling __attribute__((visibility("hidden")));

/* By the options; where it cannot be it says so. */
void sample_start(void);

/* Once the heap knows which ways there are. */
void sample_choose_way(void);

/* Counts the shard's requests since the last look; its lock is held. */
void sample_look(struct shard *shard);

/* Once the program has its own threads and handlers: ours for SIGSEGV. */
void sample_start_faults(void);

/* Counts a request; returns a block of the thread's own call, or NULL for the pool to serve it. It
 * reads as zero. */
void *sample_place(size_t alignment, size_t size);

/* As the heap's calls of these names, of an address in the slots. */
bool sample_free(unsigned char *block);
size_t sample_usable_size(unsigned char *block);

/* At exit, if faults would not have been told since the program took SIGSEGV. */
void sample_finish(void);

void sample_prepare_fork(void);
void sample_end_fork(void);

static inline bool sample_has(const void *address)
{
    return (uintptr_t)address - (uintptr_t)sampling.start < sampling.size;
}

#endif
