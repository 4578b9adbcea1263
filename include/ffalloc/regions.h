/* SPDX-License-Identifier: MIT */
/*
 * A heap of several pieces of memory: fast RAM and slow RAM, what the linker left between two
 * banks, what only DMA can reach. Each is a *region*, which is a pool (ffalloc.h); the regions have
 * an order, that in which they were added.
 *
 * A request takes the lowest space that fits in the first region that has one: exact first fit over
 * all regions, in their order, and in each by address. Nothing is tried twice and nothing is kept
 * back, so what a pool promises holds for all regions together: with each made as small as its
 * high-water mark, the same calls still succeed, at the same offsets.
 *
 *     static struct ffalloc_regions heap;
 *     static struct ffalloc_region fast, slow;
 *
 *     ffalloc_regions_add(&heap, &fast, ccm_ram, ccm_ram_size, NULL);
 *     ffalloc_regions_add(&heap, &slow, sdram, sdram_size, NULL);
 *     char *text = ffalloc_regions_malloc(&heap, 100);
 *     char *frame = ffalloc_regions_alloc_preferring(&heap, &slow, 1, 38400);
 *     ffalloc_regions_free(&heap, text);
 *
 * Nothing is allocated: the two structs are the caller's, and the metadata of each region lies in
 * it. A heap has no lock. Units: bytes.
 *
 * Cost: what the pool's call does; and the list is gone through, by a request for the peak, by
 * other calls up to the region that has the block. On x86-64 a request or a free takes 70
 * instructions more than of a pool where there is one region, and 17 more for each further one, on
 * average; a Cortex-M4 needs 1.1 KB of code (-Os), and 20 bytes for a heap and 16 for a region.
 */
#ifndef FFALLOC_REGIONS_H
#define FFALLOC_REGIONS_H

#include <ffalloc/ffalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ffalloc_regions;

/* One piece of memory of a heap. The fields may be read. */
struct ffalloc_region {
    struct ffalloc_pool *pool;   /* for the calls of ffalloc.h that change nothing: ffalloc_stats,
                                    ffalloc_find, ffalloc_walk ... */
    struct ffalloc_piece memory; /* as it was added */
    struct ffalloc_region *next; /* the one asked after this; NULL: none */
};

/* Called when no region can serve a request, as the last thing that its call does with the heap.
 * The call returns what the hook returns: NULL, or a block of the heap, if the hook freed something
 * there and asks again. */
typedef void *ffalloc_regions_on_out_of_memory(struct ffalloc_regions *heap, size_t size,
                                               size_t alignment);

/* A zeroed struct is a heap without regions, in which every request fails. The fields may be read,
 * and the hook set at any time. */
struct ffalloc_regions {
    struct ffalloc_region *first;                       /* NULL: none */
    ffalloc_regions_on_out_of_memory *on_out_of_memory; /* NULL: the request fails */
    size_t peak_used_size; /* the most that was used in all regions together */
    size_t failed_count;   /* requests that no region served */
};

/*
 * Makes a pool of the `size` bytes at `memory` and adds it to the heap as the last region.
 * `region` becomes a part of the heap: it must be none yet, and stay where it is. `config` is that
 * of ffalloc_init_with, NULL for the default; each region may have its own. Its on_error is told of
 * wrong pointers into the region, the first region's of all others; its on_out_of_memory is not
 * used.
 *
 * Returns false, and changes nothing, if and only if the memory has a byte in common with another
 * region, or ffalloc_init_with fails.
 */
bool ffalloc_regions_add(struct ffalloc_regions *heap, struct ffalloc_region *region, void *memory,
                         size_t size, const struct ffalloc_config *config);

/*
 * Each asks the regions in order for what the call of that name in ffalloc.h asks of one pool, and
 * returns what the first that can serve it has. NULL if and only if none can, and on_out_of_memory
 * has nothing either; and if the alignment is not a power of two.
 */
void *ffalloc_regions_malloc(struct ffalloc_regions *heap, size_t size);
void *ffalloc_regions_calloc(struct ffalloc_regions *heap, size_t count, size_t size);
void *ffalloc_regions_aligned_alloc(struct ffalloc_regions *heap, size_t alignment, size_t size);

/* ffalloc_regions_aligned_alloc, of which `region` is asked first, and then the others in order.
 * An alignment of 1 is any. */
void *ffalloc_regions_alloc_preferring(struct ffalloc_regions *heap, struct ffalloc_region *region,
                                       size_t alignment, size_t size);

/* ffalloc_regions_aligned_alloc, of which `region` alone is asked: for what no other memory can do,
 * as a buffer for DMA. */
void *ffalloc_regions_alloc_in(struct ffalloc_regions *heap, struct ffalloc_region *region,
                               size_t alignment, size_t size);

/*
 * Gives the block `size` bytes: in place; else at the lowest space that fits in its own region;
 * else in the first other region, in order, that has one. The old block stands until its contents
 * are copied. A block of NULL makes it ffalloc_regions_malloc(size); a size of 0 keeps a block. A
 * block that moves is aligned to the granule of the region to which it goes.
 *
 * Returns NULL if and only if no region has the space, or `block` is not a live block of the heap;
 * then the old block is unchanged.
 */
void *ffalloc_regions_realloc(struct ffalloc_regions *heap, void *block, size_t size);

/* ffalloc_resize, ffalloc_free and ffalloc_usable_size of a block, whichever region has it. A wrong
 * pointer is told to on_error, and nothing is done. */
bool ffalloc_regions_resize(struct ffalloc_regions *heap, void *block, size_t size);
void ffalloc_regions_free(struct ffalloc_regions *heap, void *block);
size_t ffalloc_regions_usable_size(const struct ffalloc_regions *heap, const void *block);

/* The region whose blocks and holes an address lies among; NULL if it is of none. */
struct ffalloc_region *ffalloc_regions_find(const struct ffalloc_regions *heap,
                                            const void *address);

/*
 * Fills in the statistics of all regions together: sums, but for the granule and the smallest hole,
 * of which it is the least; the largest hole and the largest request, of which it is the largest;
 * peak_used_size and least_free_size, which are of all regions at one time (as if each had been
 * there from the start); and failed_count, of requests that no region served, while a region's own
 * has those that went on to the next. high_water_size is the usable bytes of the smallest regions
 * in which the same calls succeed. Walks the holes.
 */
void ffalloc_regions_stats(const struct ffalloc_regions *heap, struct ffalloc_stats *stats);

/* The part of the statistics that needs no walk; `blocks` is NULL. */
void ffalloc_regions_marks(const struct ffalloc_regions *heap, struct ffalloc_marks *marks);

/* ffalloc_reset_marks of all regions, and of the heap's peak. */
void ffalloc_regions_reset_marks(struct ffalloc_regions *heap);

/* ffalloc_check of all regions in order. Where it returns false, `where` is the region and `fault`
 * what is wrong there, each if it is not NULL. */
bool ffalloc_regions_check(const struct ffalloc_regions *heap, struct ffalloc_fault *fault,
                           const struct ffalloc_region **where);

#ifdef __cplusplus
}
#endif

#endif
