/* SPDX-License-Identifier: MIT */
/* FreeRTOS's heap_4.c and what it takes from its kernel. Its array is a pointer here (pools.py). */
#include "peer.h"

static uint8_t *ucHeap;
static size_t heap_size;

#define PRIVILEGED_DATA
#define PRIVILEGED_FUNCTION
#define configSUPPORT_DYNAMIC_ALLOCATION 1
#define configAPPLICATION_ALLOCATED_HEAP 1
#define configTOTAL_HEAP_SIZE            heap_size
#define configUSE_MALLOC_FAILED_HOOK     0
#define configASSERT(condition)          ((void)0)
#define portBYTE_ALIGNMENT               8
#define portBYTE_ALIGNMENT_MASK          7
#define portPOINTER_SIZE_TYPE            uintptr_t
#define portMAX_DELAY                    0xffffffffu
#define mtCOVERAGE_TEST_MARKER()
#define traceMALLOC(block, size)
#define traceFREE(block, size)
#define vTaskSuspendAll()
#define xTaskResumeAll() 0
#define taskENTER_CRITICAL()
#define taskEXIT_CRITICAL()

typedef struct {
    size_t xAvailableHeapSpaceInBytes, xSizeOfLargestFreeBlockInBytes;
    size_t xSizeOfSmallestFreeBlockInBytes, xNumberOfFreeBlocks, xMinimumEverFreeBytesRemaining;
    size_t xNumberOfSuccessfulAllocations, xNumberOfSuccessfulFrees;
} HeapStats_t;

void vPortFree(void *block);

#include "heap_4_source.c"

bool peer_start(void *memory, size_t size)
{
    ucHeap = memory;
    heap_size = size;
    return size > 64;
}

void *peer_malloc(size_t size)
{
    return pvPortMalloc(size ? size : 1);
}

void *peer_realloc(void *block, size_t size)
{
    (void)block;
    (void)size;
    return NULL;
}

void peer_free(void *block)
{
    vPortFree(block);
}
