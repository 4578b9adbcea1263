/* SPDX-License-Identifier: MIT */
/* ports/freertos over a stand-in for the kernel: each function does what heap_4.c's does. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "FreeRTOS.h"
#include "task.h"

unsigned assert_count, traced_count;
static unsigned suspended, failed_count, wrong_count;

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

int main(void)
{
    HeapStats_t stats;
    size_t all = xPortGetFreeHeapSize();
    CHECK(all > 7 * 1024 && all < configTOTAL_HEAP_SIZE);
    char *one = pvPortMalloc(100);
    char *two = pvPortCalloc(10, 10);
    CHECK(one && two && (uintptr_t)one % 8 == 0);
    CHECK(two > one && two[99] == 0);
    CHECK(xPortGetFreeHeapSize() == all - 2 * 104);
    CHECK(pvPortMalloc(0) == NULL && failed_count == 1);
    CHECK(pvPortMalloc(all) == NULL && failed_count == 2);
    CHECK(pvPortCalloc((size_t)-1, 16) == NULL && failed_count == 3);
    vPortFree(one);
    vPortFree(NULL);
    vPortGetHeapStats(&stats);
    CHECK(stats.xAvailableHeapSpaceInBytes == all - 104);
    CHECK(stats.xNumberOfFreeBlocks == 2 && stats.xSizeOfSmallestFreeBlockInBytes == 104);
    CHECK(stats.xSizeOfLargestFreeBlockInBytes == all - 208);
    CHECK(stats.xMinimumEverFreeBytesRemaining == all - 208);
    CHECK(stats.xNumberOfSuccessfulAllocations == 2 && stats.xNumberOfSuccessfulFrees == 1);
    CHECK(xPortGetMinimumEverFreeHeapSize() == all - 208);
    xPortResetHeapMinimumEverFreeHeapSize();
    CHECK(xPortGetMinimumEverFreeHeapSize() == all - 104);
    CHECK(pvPortMalloc(60) == one); /* the lowest that fits */
    CHECK(assert_count == 0);
    vPortFree(two);
    vPortFree(two);
    vPortFree(one + 8);
    CHECK(assert_count == 4); /* by the trace macro's argument and by the free */
    vPortInitialiseBlocks();
    vPortHeapResetState();
    CHECK(xPortGetFreeHeapSize() == all);
    CHECK(suspended == 0 && traced_count > 0);
    printf("%u wrong\n", wrong_count);
    return wrong_count != 0;
}
