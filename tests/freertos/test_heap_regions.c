/* SPDX-License-Identifier: MIT */
/* ports/freertos's heap of several regions over a stand-in for the kernel: what heap_5.c's does. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "FreeRTOS.h"
#include "task.h"

unsigned assert_count, asked_count;
static unsigned suspended, failed_count, wrong_count, traces;
static uint8_t slow[6000], fast[2001];

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : (void)(wrong_count++, printf("%d: %s\n", __LINE__, #condition)))

void vTaskSuspendAll(void)
{
    suspended++;
}

BaseType_t xTaskResumeAll(void)
{
    suspended--;
    return 0;
}

void vApplicationMallocFailedHook(void)
{
    failed_count++;
}

void traced_malloc(const void *block, size_t size)
{
    (void)size;
    traces += block != NULL && suspended == 1;
}

void traced_free(const void *block, size_t size)
{
    traces += block && size && suspended == 1;
}

static bool is_in(const uint8_t *memory, size_t size, const uint8_t *block)
{
    return block >= memory && block < memory + size;
}

static void check_order(void)
{
    uint8_t *one = pvPortMalloc(1200);
    uint8_t *two = pvPortCalloc(3, 400);
    uint8_t *three = pvPortMalloc(300);
    CHECK(is_in(fast, sizeof fast, one) && is_in(slow, sizeof slow, two));
    CHECK(is_in(fast, sizeof fast, three) && traces == 3);
    CHECK(two[0] == 0 && two[1199] == 0 && (uintptr_t)one % portBYTE_ALIGNMENT == 0);
    vPortFree(two);
    vPortFree(one);
    vPortFree(three);
    CHECK(traces == 6 && failed_count == 0 && assert_count == 0);
}

static void check_numbers(size_t all)
{
    HeapStats_t stats;
    CHECK(xPortGetMinimumEverFreeHeapSize() == all - 2704);
    xPortResetHeapMinimumEverFreeHeapSize();
    CHECK(xPortGetMinimumEverFreeHeapSize() == all && xPortGetFreeHeapSize() == all);
    vPortGetHeapStats(&stats);
    CHECK(stats.xNumberOfFreeBlocks == 2 && stats.xAvailableHeapSpaceInBytes == all);
    CHECK(stats.xNumberOfSuccessfulAllocations == 3 && stats.xNumberOfSuccessfulFrees == 3);
    CHECK(stats.xSizeOfLargestFreeBlockInBytes + stats.xSizeOfSmallestFreeBlockInBytes == all);
}

static void check_wrong(void)
{
    uint8_t *block = pvPortMalloc(100);
    CHECK(pvPortMalloc(7000) == NULL && failed_count == 1);
    vPortFree(block + 8);
    vPortFree(&block);
    CHECK(assert_count == 2);
    vPortFree(block);
    vPortFree(block);
    CHECK(assert_count == 3);
}

int main(void)
{
    const HeapRegion_t regions[] = {{fast + 1, sizeof fast - 1}, {slow, sizeof slow}, {NULL, 0}};
    memset(slow, 0x5a, sizeof slow);
    vPortDefineHeapRegions(regions);
    CHECK(assert_count == 0);
    size_t all = xPortGetFreeHeapSize();
    CHECK(all > 7000 && all < sizeof fast + sizeof slow);
    check_order();
    check_numbers(all);
    check_wrong();
    vPortHeapResetState();
    vPortDefineHeapRegions(regions);
    CHECK(xPortGetFreeHeapSize() == all && assert_count == 3 && suspended == 0);
    vPortHeapResetState();
    vPortDefineHeapRegions((const HeapRegion_t[]){{fast, 10}, {NULL, 0}});
    CHECK(assert_count == 4);
    printf("%u wrong\n", wrong_count);
    return wrong_count != 0;
}
