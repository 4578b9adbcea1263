/* SPDX-License-Identifier: MIT */
/*
 * Fills the first pool, from which a process with one thread is served, with blocks that it does
 * not touch; what fits no more comes from the next pool, and calloc clears it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_DISTANCE ((uintptr_t)1 << 38) /* 16 pools in 4 TiB */

static int is_in_first(const char *first, const char *block)
{
    return (uintptr_t)block - (uintptr_t)first < POOL_DISTANCE - (1 << 20);
}

static int is_zero(const char *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

int main(void)
{
    char *first = malloc(1);
    for (size_t size = POOL_DISTANCE; size > 0; size /= 2) {
        char *block;
        while ((block = malloc(size)) != NULL && is_in_first(first, block))
            ;
        free(block);
    }
    char *dirty = malloc(1000);
    if (!dirty || is_in_first(first, dirty))
        return 2;
    memset(dirty, 1, 1000);
    free(dirty);
    char *cleared = calloc(10, 100);
    if (cleared != dirty || !is_zero(cleared, 1000))
        return 3;
    char *moved = realloc(first, 100);
    if (!moved || is_in_first(first, moved))
        return 4;
    free(moved);
    free(cleared);
    char *again = malloc(1);
    return again == first ? 0 : 5;
}
