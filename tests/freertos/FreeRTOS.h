/* SPDX-License-Identifier: MIT */
/* A small stand-in for the kernel's headers: what a heap uses of them. */
#ifndef FREERTOS_STAND_IN_H
#define FREERTOS_STAND_IN_H

#include <stddef.h>
#include <stdint.h>

#define configSUPPORT_DYNAMIC_ALLOCATION 1
#define configAPPLICATION_ALLOCATED_HEAP 0
#define configUSE_MALLOC_FAILED_HOOK     1
#define configTOTAL_HEAP_SIZE            ((size_t)(8 * 1024))

extern unsigned assert_count, traced_count;
#define configASSERT(condition)  ((condition) ? (void)0 : (void)assert_count++)
#define traceMALLOC(block, size) ((void)(block), (void)(size), (void)traced_count++)
#define traceFREE(block, size)   ((void)(block), (void)(size), (void)traced_count++)

typedef long BaseType_t;

typedef struct xHeapStats {
    size_t xAvailableHeapSpaceInBytes;
    size_t xSizeOfLargestFreeBlockInBytes;
    size_t xSizeOfSmallestFreeBlockInBytes;
    size_t xNumberOfFreeBlocks;
    size_t xMinimumEverFreeBytesRemaining;
    size_t xNumberOfSuccessfulAllocations;
    size_t xNumberOfSuccessfulFrees;
} HeapStats_t;

void *pvPortMalloc(size_t xWantedSize);
void *pvPortCalloc(size_t xNum, size_t xSize);
void vPortFree(void *pv);
size_t xPortGetFreeHeapSize(void);
size_t xPortGetMinimumEverFreeHeapSize(void);
void xPortResetHeapMinimumEverFreeHeapSize(void);
void vPortGetHeapStats(HeapStats_t *pxHeapStats);
void vPortInitialiseBlocks(void);
void vPortHeapResetState(void);
void vApplicationMallocFailedHook(void);

#endif
