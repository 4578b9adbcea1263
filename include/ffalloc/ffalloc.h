/* SPDX-License-Identifier: MIT */
/*
 * ffalloc: exact address-ordered first fit in a fixed pool of memory.
 *
 * A pool is cut into granules. A request takes the lowest address at which enough free
 * granules lie in a row, and a freed block merges at once with a free neighbour on either
 * side. Placement depends on the sequence of calls and the granule, on nothing else: the same
 * calls in a larger pool, or on another machine, give the same offsets.
 *
 * Units: `size` and `*_size` are bytes, `*_count` numbers of things. "A few steps" below means
 * at most a few per level of the index, whose depth is the logarithm of the pool's size; no
 * call but those that say so searches or walks the pool.
 *
 * A pool has no lock. Calls on one pool must not overlap; different pools are independent.
 */
#ifndef FFALLOC_H
#define FFALLOC_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FFALLOC_VERSION "0.1.0"

struct ffalloc_pool;

/* What is wrong with a pointer, or with the pool. */
enum ffalloc_error {
    FFALLOC_DOUBLE_FREE,     /* the address lies in a hole: it was freed before */
    FFALLOC_NOT_A_BLOCK,     /* the address lies inside a live block, not at its start */
    FFALLOC_FOREIGN_POINTER, /* the address is not in this pool */
    FFALLOC_DAMAGED,         /* the pool's own metadata contradicts itself: it was overwritten. The
                                call that sees it is refused. Behind the header, at the start of a
                                pool, whatever is overwritten leads no call out of the pool's memory
                                and none on for ever, but blocks may overlap from then on */
    FFALLOC_WRONG_SIZE       /* only of the arena (arena.h): a size told back is not the block's */
};

/*
 * Called instead of carrying out a call whose pointer is wrong. The pool is unchanged, and the hook
 * must leave it so; but where threads share a pool it may give their lock back until it returns, as
 * the call does nothing more with the pool: it then returns as if it had failed (NULL, false, 0, or
 * nothing done). Only a block of this pool can be freed or moved by its calls: where a heap has
 * several pools, regions.h finds the one that has a block.
 */
typedef void ffalloc_on_error(struct ffalloc_pool *pool, const void *address,
                              enum ffalloc_error kind);

/*
 * Called when a request cannot be served, as the last thing that its call does with the pool. The
 * call returns what the hook returns: NULL, or a block of this pool, if the hook freed something
 * there and asks again. (A heap of several pools: regions.h.) Units: bytes.
 */
typedef void *ffalloc_on_out_of_memory(struct ffalloc_pool *pool, size_t size, size_t alignment);

/* A piece of memory. */
struct ffalloc_piece {
    void *start;
    size_t size; /* bytes */
};

/*
 * Called before a pool that grows uses more of its memory: to map it, to switch a bank on, to lift
 * a protection. Opens all of the `count` pieces and returns true, or opens none and returns false:
 * the pool stays as it is, and the request is served from what is open, or refused. Each piece
 * begins and ends on a multiple of open_unit and is named once; one is of the blocks, the others,
 * before it, are of the metadata. Nothing else of the memory is ever touched. The hook must not
 * call the pool, which in ffalloc_init_with is not one yet.
 */
typedef bool ffalloc_on_open(struct ffalloc_pool *pool, const struct ffalloc_piece *pieces,
                             unsigned count);

/* A zeroed config means the defaults. */
struct ffalloc_config {
    size_t granule; /* bytes: 8, 16, 32, ... 4096; 0: 16 where pointers have 64 bits, else 8 */
    bool is_zeroed; /* the memory reads as zero: init leaves most of it untouched, and calloc
                       does not clear what was never handed out */
    ffalloc_on_error *on_error;                 /* NULL: a wrong pointer is ignored */
    ffalloc_on_out_of_memory *on_out_of_memory; /* NULL: the request fails */
    ffalloc_on_open *on_open; /* NULL: all of the memory can be used from the start. Else the pool
                                 grows, and no block lies elsewhere than if it were all open; see
                                 FFALLOC_GROWTH in choices.h */
    size_t open_unit;         /* bytes, with on_open: a power of two, at least the granule and 64 */
    size_t open_step;        /* bytes, with on_open: at first, and then at a time, so much is opened
                                for blocks, or an eighth of what is open if that is more, or what
                                a request needs; less if the hook refuses that */
    size_t blocks_alignment; /* bytes, with on_open: a power of two; the first block lies at a
                         multiple of it. 0: of open_unit */
};

/*
 * Makes a pool of the `size` bytes at `memory` and returns it. All metadata is inside, at the
 * start; nothing else is ever used. `memory` may have any alignment; up to 15 bytes and part of
 * a granule are lost if it has less than the granule's.
 *
 * With `on_open` the pool may become as large as `memory` allows, and `memory` is aligned up to
 * `open_unit`. Where banks of memory are powered one by one:
 *
 *     static bool power(struct ffalloc_pool *pool, const struct ffalloc_piece *pieces, unsigned
 * count)
 *     {
 *         for (unsigned i = 0; i < count; i++)
 *             power_on(pieces[i].start, pieces[i].size);
 *         return true;
 *     }
 *     struct ffalloc_config config = {.on_open = power, .open_unit = 4096, .open_step = 4096};
 *     pool = ffalloc_init_with(banks, sizeof banks, &config);
 *
 * Returns NULL if and only if not one granule fits (with `on_open`, not one unit of them), the hook
 * refuses the first unit, the granule is not a power of two from 8 to 4096, or the unit is none as
 * it must be. A pool uses at most 2^32 leaves of the machine word's number of granules (4 TiB at
 * granule 16 and 64 bits), with FFALLOC_SMALL and 32 bits 65,534 granules, and leaves the rest
 * alone.
 *
 * Steps: clears the metadata, 3.8 % of the pool at granule 8; with `is_zeroed` a few hundred.
 */
struct ffalloc_pool *ffalloc_init(void *memory, size_t size);
struct ffalloc_pool *ffalloc_init_with(void *memory, size_t size,
                                       const struct ffalloc_config *config);

/*
 * Returns the lowest space in the pool that holds `size` bytes, aligned to the granule. "Lowest"
 * is exact: no free space at a smaller address would have done. A size of 0 is served as 1.
 * The contents are whatever was there before.
 *
 * Returns NULL if and only if no hole is large enough, and on_out_of_memory has nothing either. A
 * few steps.
 */
void *ffalloc_malloc(struct ffalloc_pool *pool, size_t size);

/* As ffalloc_malloc(count * size), zeroed. Also NULL if the product overflows. */
void *ffalloc_calloc(struct ffalloc_pool *pool, size_t count, size_t size);

/*
 * As ffalloc_malloc, at an address that is a multiple of `alignment`, a power of two. Up to the
 * granule that is ffalloc_malloc. Above it, where the lowest hole that is large enough may be
 * misaligned, the rule is:
 *
 *   1. take the lowest aligned fit among the holes of at least `size` that start in the first 8
 *      groups of 64 granules in which such holes start;
 *   2. if there is none, take the lowest hole that is large enough at any alignment, that is
 *      of at least size / granule + alignment / granule - 1 granules;
 *   3. if there is none, search all holes of at least `size`.
 *
 * Returns NULL if and only if no aligned space of that size is free, or `alignment` is not a
 * power of two. A few steps for 1 and 2; step 3 looks at every hole that is large enough.
 *
 * Alignment is of the address, so equal offsets in two pools need blocks that begin at the same
 * remainder of the alignment (ffalloc_metadata_size says where they begin; in libffalloc.so that is
 * a multiple of 2 MiB).
 */
void *ffalloc_aligned_alloc(struct ffalloc_pool *pool, size_t alignment, size_t size);

/*
 * Gives the block `size` bytes: shrinks in place, grows in place into a hole on its right, else
 * moves to the lowest space that fits while the old block still stands. A block of NULL makes
 * it ffalloc_malloc(size). A size of 0 keeps a block of one granule: only free frees.
 *
 * A block that moves is aligned to the granule, as C's realloc has it, even if
 * ffalloc_aligned_alloc made it: to keep an alignment, try ffalloc_resize, and else ask for a new
 * block and copy.
 *
 * Returns NULL if and only if neither is possible, or `block` is not a live block; then the
 * old block is unchanged. A few steps, and the copy.
 */
void *ffalloc_realloc(struct ffalloc_pool *pool, void *block, size_t size);

/*
 * The part of realloc that does not move: true if the block now has room for `size` bytes,
 * false, with nothing changed, if and only if the hole on its right is missing or too small or
 * `block` is not a live block. A few steps.
 */
bool ffalloc_resize(struct ffalloc_pool *pool, void *block, size_t size);

/* Frees a live block; NULL is ignored. Anything else is told to on_error. A few steps, also to tell
 * what is wrong with a pointer. */
void ffalloc_free(struct ffalloc_pool *pool, void *block);

/* As ffalloc_free; returns the bytes given back, 0 if `block` was NULL or wrong. */
size_t ffalloc_release(struct ffalloc_pool *pool, void *block);

/* Bytes that may be used in a live block; 0 for NULL, and for a wrong pointer after on_error. */
size_t ffalloc_usable_size(const struct ffalloc_pool *pool, const void *block);

/* Whether the address lies in the part of the pool that holds blocks, used or free. */
bool ffalloc_owns(const struct ffalloc_pool *pool, const void *address);

/* What lies at an address: a block, used or free (a hole). */
struct ffalloc_block {
    void *address; /* of its first byte */
    size_t size;   /* bytes, a multiple of the granule */
    bool is_used;
};

/*
 * Finds the block or hole that contains `address`. False if and only if the pool does not own
 * it.
 *
 * Steps: a few per level of the index for what lies in a hole. For a block, which only at its ends
 * knows its length, a few more: twice the machine words of granules between its start and the
 * address, or the nearest hole below it, whichever is nearer.
 */
bool ffalloc_find(const struct ffalloc_pool *pool, const void *address,
                  struct ffalloc_block *block);

/* Counts bytes unless it says otherwise. The names in brackets are FreeRTOS's and o1heap's. */
struct ffalloc_stats {
    size_t granule;
    size_t usable_size;          /* all blocks and holes together [capacity] */
    size_t used_size;            /* now, rounded up to granules [allocated] */
    size_t peak_used_size;       /* the most ever used [peak_allocated] */
    size_t free_size;            /* now [xAvailableHeapSpaceInBytes] */
    size_t least_free_size;      /* the least ever free [xMinimumEverFreeBytesRemaining] */
    size_t largest_hole_size;    /* [xSizeOfLargestFreeBlockInBytes] */
    size_t smallest_hole_size;   /* [xSizeOfSmallestFreeBlockInBytes] */
    size_t hole_count;           /* [xNumberOfFreeBlocks] */
    size_t block_count;          /* live blocks */
    size_t alloc_count;          /* successful requests [xNumberOfSuccessfulAllocations] */
    size_t free_count;           /* successful frees [xNumberOfSuccessfulFrees] */
    size_t failed_count;         /* refused requests [oom_count] */
    size_t largest_request_size; /* also if refused [peak_request_size] */
    size_t slack_total_size;     /* given beyond what was asked, summed over alloc_count requests;
                                    what a live block was asked for is not kept */
    size_t high_water_size;      /* the end of the highest block ever placed: the usable bytes of
                                    the smallest pool in which the same calls succeed */
};

/*
 * Fills in the statistics. A realloc in place counts as neither an allocation nor a free; one
 * that moves is both. Walks the holes: its time grows with the part of the pool ever used.
 */
void ffalloc_stats(const struct ffalloc_pool *pool, struct ffalloc_stats *stats);

/* The part of the statistics that needs no walk: a few instructions. */
struct ffalloc_marks {
    void *blocks; /* address of the first granule */
    size_t usable_size;
    size_t used_size;       /* now */
    size_t least_free_size; /* ever */
    size_t high_water_size;
};
void ffalloc_marks(const struct ffalloc_pool *pool, struct ffalloc_marks *marks);

/*
 * Starts the marks anew from what is live now: peak_used, least_free, largest_request and
 * high_water. With `is_zeroed`, calloc clears everything from here on. Walks back to the
 * highest live block.
 */
void ffalloc_reset_marks(struct ffalloc_pool *pool);

/* What ffalloc_check found first. */
struct ffalloc_fault {
    const char *rule; /* the number of the invariant that does not hold, such as "M3" */
    size_t offset;    /* bytes from the first granule to the place */
};

/*
 * Verifies every numbered invariant of the metadata (src/core/pool.h lists them), recounting
 * the index from the map. Reads only. Returns true if all hold; else fills in `fault` if it is
 * not NULL. Walks the part of the pool ever used.
 */
bool ffalloc_check(const struct ffalloc_pool *pool, struct ffalloc_fault *fault);

/* Called for a block or a hole; returns whether to go on. It must not change the pool. */
typedef bool ffalloc_visit(void *context, const struct ffalloc_block *block);

/* Visits all blocks and holes in address order. */
void ffalloc_walk(const struct ffalloc_pool *pool, ffalloc_visit *visit, void *context);

/* Visits the holes of at least `least_size` bytes in address order; a few steps for each hole
 * of that size or of 255 granules. */
void ffalloc_walk_holes(const struct ffalloc_pool *pool, size_t least_size, ffalloc_visit *visit,
                        void *context);

/*
 * The least memory, aligned to the larger of the granule and 16, that offers `granules` usable
 * granules of `granule` bytes (0: the default). Returns 0 if and only if there is no such size
 * or the granule is not valid.
 */
size_t ffalloc_pool_size_for(size_t granules, size_t granule);

/* Bytes before the first block in a pool of `size` bytes with that alignment; 0 as above. */
size_t ffalloc_metadata_size(size_t size, size_t granule);

/*
 * The same of another machine, for a desktop that sizes a device's pool. `target` is the bits of
 * its words: 32 (Cortex-M, RV32, i386) or 64 (the machine asked if it has 64, else x86-64), with
 * FFALLOC_TARGET_SMALL added if its core is compiled with FFALLOC_SMALL.
 *
 * ffalloc_target_pool_size_for: as ffalloc_pool_size_for; 0 also if there is no such machine.
 * ffalloc_target_granules: the usable granules in `size` aligned bytes; 0 if there are none.
 * A core compiled with FFALLOC_SMALL has neither itself.
 */
#define FFALLOC_TARGET_SMALL 1u
size_t ffalloc_target_pool_size_for(unsigned target, size_t granules, size_t granule);
size_t ffalloc_target_granules(unsigned target, size_t size, size_t granule);

#ifdef __cplusplus
}
#endif

#endif
