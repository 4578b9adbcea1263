/* SPDX-License-Identifier: MIT */
/* ports/freertos over a stand-in for the kernel: each function does what heap_4.c's does. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "FreeRTOS.h"
#include "task.h"

#include <ffalloc/ffalloc.h>

#define GRANULE (portBYTE_ALIGNMENT > 8 ? (size_t)portBYTE_ALIGNMENT : 8)
#define SLOTS   20

#ifndef configHEAP_CLEAR_MEMORY_ON_FREE
#define configHEAP_CLEAR_MEMORY_ON_FREE 0
#endif

unsigned assert_count, asked_count;
static unsigned suspended, critical, failed_count, wrong_count, walk_count;
static unsigned traced_mallocs, traced_frees, traced_unsuspended;

#if configAPPLICATION_ALLOCATED_HEAP
uint8_t ucHeap[configTOTAL_HEAP_SIZE];
#endif

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : (void)(wrong_count++, printf("%d: %s\n", __LINE__, #condition)))

void taskENTER_CRITICAL(void)
{
    critical++;
}

void taskEXIT_CRITICAL(void)
{
    CHECK(critical > 0);
    critical--;
}

void vTaskSuspendAll(void)
{
    suspended++;
}

/* The kernel's own enters a critical section here. */
BaseType_t xTaskResumeAll(void)
{
    CHECK(suspended > 0);
    taskENTER_CRITICAL();
    suspended--;
    taskEXIT_CRITICAL();
    return 0;
}

void vApplicationMallocFailedHook(void)
{
    CHECK(suspended == 0);
    failed_count++;
}

void traced_malloc(const void *block, size_t size)
{
    (void)block;
    (void)size;
    traced_mallocs++;
    traced_unsuspended += suspended == 0;
}

void traced_free(const void *block, size_t size)
{
    CHECK(block && size > 0);
    traced_frees++;
    traced_unsuspended += suspended == 0;
}

/* The linker sends the port's calls of ffalloc_stats, which walks the holes, here. */
void __real_ffalloc_stats(const struct ffalloc_pool *pool, struct ffalloc_stats *stats);
void __wrap_ffalloc_stats(const struct ffalloc_pool *pool, struct ffalloc_stats *stats);
void __wrap_ffalloc_stats(const struct ffalloc_pool *pool, struct ffalloc_stats *stats)
{
    walk_count++;
    __real_ffalloc_stats(pool, stats);
}

static size_t rounded(size_t size)
{
    return (size + GRANULE - 1) / GRANULE * GRANULE;
}

/* Blocks lie where the kernel wants them, and in what tasks may not touch, if the heap is the
 * port's.
 */
static void check_places(void)
{
    extern uint8_t __start_privileged_data[], __stop_privileged_data[];
    void *blocks[SLOTS];
    size_t privileged_size = (size_t)(__stop_privileged_data - __start_privileged_data);
    CHECK(privileged_size >=
          sizeof(void *) + (configAPPLICATION_ALLOCATED_HEAP ? 0 : configTOTAL_HEAP_SIZE));
    for (size_t i = 0; i < SLOTS; i++) {
        uint8_t *block = blocks[i] = pvPortMalloc(i * 7 + 1);
        CHECK(block && (uintptr_t)block % GRANULE == 0);
        bool is_privileged = block > __start_privileged_data && block < __stop_privileged_data;
        CHECK(is_privileged == !configAPPLICATION_ALLOCATED_HEAP);
    }
    for (size_t i = 0; i < SLOTS; i++)
        vPortFree(blocks[i]);
}

static void check_failures(size_t all)
{
    unsigned before = failed_count;
    CHECK(pvPortMalloc(0) == NULL && failed_count == before + 1);
    CHECK(pvPortMalloc(all + 1) == NULL && failed_count == before + 2);
    CHECK(pvPortCalloc(0, 8) == NULL && pvPortCalloc(8, 0) == NULL && failed_count == before + 4);
    CHECK(pvPortMalloc(SIZE_MAX) == NULL && failed_count == before + 5);
    CHECK(traced_mallocs >= 5);
    CHECK(pvPortCalloc(SIZE_MAX, 16) == NULL && failed_count == before + 5);
}

static void check_statistics(size_t all)
{
    size_t size = rounded(100);
    HeapStats_t stats;
    vPortHeapResetState();
    char *one = pvPortMalloc(100);
    char *two = pvPortCalloc(10, 10);
    CHECK(one && two > one && two[99] == 0);
    CHECK(xPortGetFreeHeapSize() == all - 2 * size);
    vPortFree(one);
    vPortFree(NULL);
    vPortGetHeapStats(&stats);
    CHECK(stats.xAvailableHeapSpaceInBytes == all - size);
    CHECK(stats.xNumberOfFreeBlocks == 2 && stats.xSizeOfSmallestFreeBlockInBytes == size);
    CHECK(stats.xSizeOfLargestFreeBlockInBytes == all - 2 * size);
    CHECK(stats.xMinimumEverFreeBytesRemaining == all - 2 * size);
    CHECK(stats.xNumberOfSuccessfulAllocations == 2 && stats.xNumberOfSuccessfulFrees == 1);
    walk_count = 0;
    CHECK(xPortGetMinimumEverFreeHeapSize() == all - 2 * size);
    xPortResetHeapMinimumEverFreeHeapSize();
    CHECK(xPortGetMinimumEverFreeHeapSize() == all - size);
    CHECK(walk_count == 0);
    CHECK(pvPortMalloc(60) == one); /* the lowest that fits */
    vPortFree(two);
}

static void check_frees(void)
{
    unsigned before = traced_frees;
    unsigned char *block = pvPortMalloc(3 * GRANULE);
    memset(block, 0x5a, 3 * GRANULE);
    CHECK(assert_count == 0);
    vPortFree(block + GRANULE);
    CHECK(assert_count == 1 && block[0] == 0x5a);
    vPortFree(block);
    CHECK(assert_count == 1 && traced_frees == before + 1);
    for (size_t i = 0; i < 3 * GRANULE; i++)
        CHECK(block[i] == (configHEAP_CLEAR_MEMORY_ON_FREE ? 0 : 0x5a));
    vPortFree(block);
    CHECK(assert_count == 2 && traced_frees == before + 1);
}

static void check_inside_critical_section(void)
{
    taskENTER_CRITICAL();
    void *block = pvPortMalloc(10);
    vPortFree(block);
    CHECK(block && critical == 1);
    taskEXIT_CRITICAL();
}

int main(void)
{
    size_t all = xPortGetFreeHeapSize();
    CHECK(all > 7 * 1024 && all < configTOTAL_HEAP_SIZE);
    check_places();
    check_failures(all);
    check_statistics(all);
    check_inside_critical_section();
    check_frees();
    asked_count = 0;
    vPortFree(pvPortMalloc(1));
    CHECK(asked_count > 0); /* of the block's alignment */
    vPortInitialiseBlocks();
    vPortHeapResetState();
    CHECK(xPortGetFreeHeapSize() == all);
    CHECK(suspended == 0 && critical == 0 && traced_unsuspended == 0);
    printf("%u wrong\n", wrong_count);
    return wrong_count != 0;
}
