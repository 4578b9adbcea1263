/* SPDX-License-Identifier: MIT */
/*
 * FreeRTOS's heap interface over ffalloc: add this file, src/core/ and include/ to a project in
 * place of heap_1.c to heap_5.c. The heap is one array of configTOTAL_HEAP_SIZE bytes (the
 * application's ucHeap with configAPPLICATION_ALLOCATED_HEAP), metadata included.
 *
 * Calls are kept apart by suspending the scheduler, as in heap_4.c: interrupt handlers must not
 * allocate. Every block is aligned to 8 bytes. What FreeRTOS calls a minimum or a size is in bytes.
 *
 * A wrong pointer (freed twice, inside a block, not of the heap) is configASSERTed.
 */
#include <stddef.h>
#include <string.h>

/* The kernel's own way of letting task.h define what is not for applications. */
#define MPU_WRAPPERS_INCLUDED_FROM_API_FILE
#include "FreeRTOS.h"
#include "task.h"
#undef MPU_WRAPPERS_INCLUDED_FROM_API_FILE

#include <ffalloc/ffalloc.h>

#if (configSUPPORT_DYNAMIC_ALLOCATION == 0)
#error "heap_ffalloc.c needs configSUPPORT_DYNAMIC_ALLOCATION"
#endif

#if (configAPPLICATION_ALLOCATED_HEAP == 1)
extern uint8_t ucHeap[configTOTAL_HEAP_SIZE];
#else
static uint8_t ucHeap[configTOTAL_HEAP_SIZE] __attribute__((aligned(8)));
#endif

static struct ffalloc_pool *pool;

static void on_error(struct ffalloc_pool *in, const void *address, enum ffalloc_error kind)
{
    const void *wrong_pointer = address;
    (void)in;
    (void)kind;
    configASSERT(wrong_pointer == NULL);
    (void)wrong_pointer;
}

static struct ffalloc_pool *heap(void)
{
    if (pool == NULL) {
        const struct ffalloc_config config = {.granule = 8, .on_error = on_error};
        pool = ffalloc_init_with(ucHeap, configTOTAL_HEAP_SIZE, &config);
        configASSERT(pool != NULL);
    }
    return pool;
}

static void *tell(void *block, size_t size)
{
    traceMALLOC(block, size);
    (void)size;
#if (configUSE_MALLOC_FAILED_HOOK == 1)
    if (block == NULL)
        vApplicationMallocFailedHook();
#endif
    return block;
}

/* As heap_4.c, a size of 0 returns NULL. */
void *pvPortMalloc(size_t xWantedSize)
{
    void *block = NULL;
    vTaskSuspendAll();
    if (xWantedSize > 0)
        block = ffalloc_malloc(heap(), xWantedSize);
    (void)xTaskResumeAll();
    return tell(block, xWantedSize);
}

void *pvPortCalloc(size_t xNum, size_t xSize)
{
    void *block = NULL;
    size_t total = xNum > 0 && xSize > (size_t)-1 / xNum ? (size_t)-1 : xNum * xSize;
    vTaskSuspendAll();
    if (total > 0)
        block = ffalloc_calloc(heap(), xNum, xSize);
    (void)xTaskResumeAll();
    return tell(block, total);
}

void vPortFree(void *pv)
{
    if (pv == NULL)
        return;
    vTaskSuspendAll();
    traceFREE(pv, ffalloc_usable_size(heap(), pv));
    ffalloc_free(heap(), pv);
    (void)xTaskResumeAll();
}

size_t xPortGetFreeHeapSize(void)
{
    struct ffalloc_marks marks;
    vTaskSuspendAll();
    ffalloc_marks(heap(), &marks);
    (void)xTaskResumeAll();
    return marks.usable_size - marks.used_size;
}

static struct ffalloc_stats stats_now(void)
{
    struct ffalloc_stats stats;
    vTaskSuspendAll();
    ffalloc_stats(heap(), &stats);
    (void)xTaskResumeAll();
    return stats;
}

size_t xPortGetMinimumEverFreeHeapSize(void)
{
    return stats_now().least_free_size;
}

/* Starts the marks anew: the least ever free, and the high-water mark. */
void xPortResetHeapMinimumEverFreeHeapSize(void)
{
    vTaskSuspendAll();
    ffalloc_reset_marks(heap());
    (void)xTaskResumeAll();
}

void vPortGetHeapStats(HeapStats_t *pxHeapStats)
{
    struct ffalloc_stats stats = stats_now();
    pxHeapStats->xAvailableHeapSpaceInBytes = stats.free_size;
    pxHeapStats->xSizeOfLargestFreeBlockInBytes = stats.largest_hole_size;
    pxHeapStats->xSizeOfSmallestFreeBlockInBytes = stats.smallest_hole_size;
    pxHeapStats->xNumberOfFreeBlocks = stats.hole_count;
    pxHeapStats->xMinimumEverFreeBytesRemaining = stats.least_free_size;
    pxHeapStats->xNumberOfSuccessfulAllocations = stats.alloc_count;
    pxHeapStats->xNumberOfSuccessfulFrees = stats.free_count;
}

/* The heap is ready at its first call. */
void vPortInitialiseBlocks(void)
{
}

/* Before the scheduler is started again: an empty heap. */
void vPortHeapResetState(void)
{
    pool = NULL;
}
