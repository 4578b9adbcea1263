/* SPDX-License-Identifier: MIT */
/*
 * FreeRTOS's heap interface over ffalloc: add this file, src/core/ and include/ to a project in
 * place of heap_1.c to heap_5.c. The heap is one array of configTOTAL_HEAP_SIZE bytes (the
 * application's ucHeap with configAPPLICATION_ALLOCATED_HEAP), metadata included; or, in place of
 * heap_5.c, the regions that heap_ffalloc_regions.c takes, which includes this file.
 *
 * Calls are kept apart by suspending the scheduler, as in heap_4.c: a task may allocate inside a
 * critical section, since that nests, and an interrupt handler must not. A size of 0 is a failed
 * request: NULL, and the hook for failed requests. A pvPortCalloc whose product overflows is NULL
 * and calls no hook. Every block is aligned to portBYTE_ALIGNMENT, 8 at the least; that is the
 * granule, to which sizes are rounded up. What FreeRTOS calls a minimum or a size is in bytes.
 *
 * Unlike heap_4.c's, the heap has all its free bytes before the first request. A wrong
 * pointer (freed twice, inside a block, not of the heap) is configASSERTed once, and no trace says
 * that it was freed.
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

#ifndef configHEAP_CLEAR_MEMORY_ON_FREE
#define configHEAP_CLEAR_MEMORY_ON_FREE 0
#endif

#define GRANULE (portBYTE_ALIGNMENT > 8 ? portBYTE_ALIGNMENT : 8) /* bytes */

static void on_error(struct ffalloc_pool *in, const void *address, enum ffalloc_error kind)
{
    const void *wrong_pointer = address;
    (void)in;
    (void)kind;
    configASSERT(wrong_pointer == NULL);
    (void)wrong_pointer;
}

static const struct ffalloc_config config = {.granule = GRANULE, .on_error = on_error};

/* What the functions below call: the calls of a pool, or of regions. */
#ifndef HEAP_FFALLOC_REGIONS

#define HEAP_CALL(name) ffalloc_##name

#if (configAPPLICATION_ALLOCATED_HEAP == 1)
extern uint8_t ucHeap[configTOTAL_HEAP_SIZE];
#else
PRIVILEGED_DATA static uint8_t ucHeap[configTOTAL_HEAP_SIZE] __attribute__((aligned(GRANULE)));
#endif

PRIVILEGED_DATA static struct ffalloc_pool *pool = NULL;

static struct ffalloc_pool *heap(void)
{
    if (pool == NULL) {
        pool = ffalloc_init_with(ucHeap, configTOTAL_HEAP_SIZE, &config);
        configASSERT(pool != NULL);
    }
    return pool;
}

static void forget_heap(void)
{
    pool = NULL;
}

#endif

static void *checked(void *block)
{
#if (configUSE_MALLOC_FAILED_HOOK == 1)
    if (block == NULL)
        vApplicationMallocFailedHook();
#endif
    configASSERT(((size_t)block & (size_t)portBYTE_ALIGNMENT_MASK) == 0);
    return block;
}

void *pvPortMalloc(size_t xWantedSize)
{
    void *block = NULL;
    vTaskSuspendAll();
    if (xWantedSize > 0)
        block = HEAP_CALL(malloc)(heap(), xWantedSize);
    traceMALLOC(block, xWantedSize);
    (void)xTaskResumeAll();
    return checked(block);
}

void *pvPortCalloc(size_t xNum, size_t xSize)
{
    if (xNum > 0 && xSize > SIZE_MAX / xNum)
        return NULL;
    void *block = NULL;
    vTaskSuspendAll();
    if (xNum > 0 && xSize > 0)
        block = HEAP_CALL(calloc)(heap(), xNum, xSize);
    traceMALLOC(block, xNum * xSize);
    (void)xTaskResumeAll();
    return checked(block);
}

void vPortFree(void *pv)
{
    if (pv == NULL)
        return;
    vTaskSuspendAll();
    size_t size = HEAP_CALL(usable_size)(heap(), pv); /* 0: on_error was told */
    if (size > 0) {
#if (configHEAP_CLEAR_MEMORY_ON_FREE == 1)
        (void)memset(pv, 0, size);
#endif
        traceFREE(pv, size);
        HEAP_CALL(free)(heap(), pv);
    }
    (void)xTaskResumeAll();
}

static struct ffalloc_marks marks_now(void)
{
    struct ffalloc_marks marks;
    vTaskSuspendAll();
    HEAP_CALL(marks)(heap(), &marks);
    (void)xTaskResumeAll();
    return marks;
}

size_t xPortGetFreeHeapSize(void)
{
    struct ffalloc_marks marks = marks_now();
    return marks.usable_size - marks.used_size;
}

size_t xPortGetMinimumEverFreeHeapSize(void)
{
    return marks_now().least_free_size;
}

/* Starts the marks anew: the least ever free, and the high-water mark. */
void xPortResetHeapMinimumEverFreeHeapSize(void)
{
    vTaskSuspendAll();
    HEAP_CALL(reset_marks)(heap());
    (void)xTaskResumeAll();
}

void vPortGetHeapStats(HeapStats_t *pxHeapStats)
{
    struct ffalloc_stats stats;
    vTaskSuspendAll();
    HEAP_CALL(stats)(heap(), &stats);
    (void)xTaskResumeAll();
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
    forget_heap();
}
