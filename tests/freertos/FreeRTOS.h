/* SPDX-License-Identifier: MIT */
/* A small stand-in for the kernel's headers: what a heap uses of them. A build chooses what a
 * FreeRTOSConfig.h or a port may. */
#ifndef FREERTOS_STAND_IN_H
#define FREERTOS_STAND_IN_H

#include <stddef.h>
#include <stdint.h>

#ifndef portBYTE_ALIGNMENT
#define portBYTE_ALIGNMENT 8
#endif
#define portBYTE_ALIGNMENT_MASK (portBYTE_ALIGNMENT - 1)

#define configSUPPORT_DYNAMIC_ALLOCATION 1
#ifndef configAPPLICATION_ALLOCATED_HEAP
#define configAPPLICATION_ALLOCATED_HEAP 0
#endif
#define configUSE_MALLOC_FAILED_HOOK 1
#define configTOTAL_HEAP_SIZE        ((size_t)(8 * 1024))

/* Where a kernel with memory protection keeps what tasks may not touch. */
#define PRIVILEGED_DATA __attribute__((section("privileged_data")))

extern unsigned assert_count, asked_count;
#define configASSERT(condition) (asked_count++, (condition) ? (void)0 : (void)assert_count++)

void traced_malloc(const void *block, size_t size);
void traced_free(const void *block, size_t size);
#define traceMALLOC(block, size) traced_malloc(block, size)
#define traceFREE(block, size)   traced_free(block, size)

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

typedef struct HeapRegion {
    uint8_t *pucStartAddress;
    size_t xSizeInBytes;
} HeapRegion_t;

void vPortDefineHeapRegions(const HeapRegion_t *const pxHeapRegions);
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
