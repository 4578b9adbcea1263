/* SPDX-License-Identifier: MIT */
/*
 * heap_5.c's heap over ffalloc: several pieces of memory, which vPortDefineHeapRegions takes before
 * the first request. Add this file, src/core/, src/regions/ and include/ to a project in place of
 * heap_5.c, and not heap_ffalloc.c, which it includes and which says what else differs from
 * FreeRTOS's own.
 *
 * The list ends with a region of size 0. It need not be in the order of the addresses: the first
 * region is asked first. At the start of each region some bytes are the list's.
 */
#include <ffalloc/regions.h>

#define HEAP_FFALLOC_REGIONS
#define HEAP_CALL(name) ffalloc_regions_##name
static struct ffalloc_regions *heap(void);
static void forget_heap(void);
#include "heap_ffalloc.c"

PRIVILEGED_DATA static struct ffalloc_regions regions;

static struct ffalloc_regions *heap(void)
{
    configASSERT(regions.first != NULL); /* vPortDefineHeapRegions comes first */
    return &regions;
}

static void forget_heap(void)
{
    const struct ffalloc_regions none = {0};
    regions = none;
}

/* Adds a region, in whose first bytes the list's part of it lies. */
static void define_region(uint8_t *start, size_t size)
{
    size_t skip = (size_t)(-(uintptr_t)start % _Alignof(struct ffalloc_region));
    struct ffalloc_region *region = (struct ffalloc_region *)(void *)(start + skip);
    bool is_added = false;
    skip += sizeof *region;
    if (size > skip)
        is_added = ffalloc_regions_add(&regions, region, start + skip, size - skip, &config);
    configASSERT(is_added);
    (void)is_added;
}

void vPortDefineHeapRegions(const HeapRegion_t *const pxHeapRegions)
{
    configASSERT(regions.first == NULL);
    for (const HeapRegion_t *region = pxHeapRegions; region->xSizeInBytes > 0; region++)
        define_region(region->pucStartAddress, region->xSizeInBytes);
}
