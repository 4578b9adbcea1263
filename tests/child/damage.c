/* SPDX-License-Identifier: MIT */
/* Overwrites the end of the pool's metadata, which lies before the first block, then makes the one
 * call that is named. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *(*volatile allocate)(size_t size) = malloc;
static void *(*volatile change)(void *block, size_t size) = realloc;

int main(int argc, char **argv)
{
    const char *call = argc > 1 ? argv[1] : "";
    char *first = allocate(1);
    char *second = allocate(100);
    /* The page in which the blocks begin; the metadata ends just before it. */
    char *blocks = (char *)((uintptr_t)first & ~(uintptr_t)4095);
    char *volatile metadata = blocks - 300;
    memset(metadata, 0x5a, 300);
    if (strcmp(call, "malloc") == 0)
        allocate(100);
    else if (strcmp(call, "free") == 0)
        free(second);
    else if (strcmp(call, "realloc") == 0)
        change(second, 50);
    _exit(0);
}
