/* SPDX-License-Identifier: MIT */
/* Overwrites the pool's metadata, which lies before the first block, then calls malloc. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *first = malloc(1);
    /* The page in which the blocks begin; the metadata ends just before it. */
    char *blocks = (char *)((uintptr_t)first & ~(uintptr_t)4095);
    char *volatile metadata = blocks - 300;
    memset(metadata, 0x5a, 300);
    free(malloc(100));
    return 0;
}
