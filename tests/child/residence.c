/* SPDX-License-Identifier: MIT */
/*
 * What the resident memory does: it shrinks when blocks are freed, or when the heap grows beside
 * holes that are too small, malloc_trim gives the rest back, calloc touches nothing, and a loop
 * over one large block does not fault each time.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BLOCKS 20000
#define SIZE   8192

static void *blocks[BLOCKS];

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        exit(2);
    fclose(file);
    return pages * 4;
}

static long faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static void check(int condition, const char *what, long is, long limit)
{
    if (!condition) {
        fprintf(stderr, "%s: %ld, limit %ld\n", what, is, limit);
        exit(1);
    }
}

static void (*volatile release)(void *block) = free;

/*
 * 16 MB, of which three quarters become holes of 24 KiB; then 16 MB of blocks that are larger, and
 * half of them go. The look that finds the heap grown gives back once, what is a hole by then: it
 * comes when 4 MiB were freed since the look before, which the 13th large block makes so many, and
 * 20,270 KiB stay. (It came with the 64th free, here the 34th large block, when only every 64th
 * looked, and gave back 1280 KiB more by that chance: 18,900.)
 */
static void grow_beside_holes(void)
{
    long start = resident_kib();
    int count = BLOCKS / 10;
    void **large = blocks + count;
    for (int i = 0; i < count; i++)
        blocks[i] = memset(malloc(SIZE), 1, SIZE);
    for (int i = 0; i < count; i++)
        if (i % 4)
            release(blocks[i]);
    for (int i = 0; i < 256; i++)
        large[i] = memset(malloc(SIZE * 8), 1, SIZE * 8);
    for (int i = 0; i < 128; i++)
        release(large[i]);
    long grown = resident_kib();
    check(grown - start < 22000, "grown beside holes, resident KiB", grown - start, 22000);
    for (int i = 128; i < 256; i++)
        release(large[i]);
    for (int i = 0; i < count; i += 4)
        release(blocks[i]);
}

int main(void)
{
    grow_beside_holes();
    malloc_trim(0);

    long start = resident_kib();
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = memset(malloc(SIZE), 1, SIZE);
    long full = resident_kib();
    check(full - start > BLOCKS * 8L * 9 / 10, "blocks in use, resident KiB", full - start, 0);
    for (int i = 0; i < BLOCKS; i++)
        release(blocks[i]);
    long freed = resident_kib();
    check(freed - start < 40000, "all freed, resident KiB", freed - start, 40000);

    for (int i = 0; i < BLOCKS / 20; i++)
        blocks[i] = memset(malloc(SIZE), 1, SIZE);
    for (int i = 0; i < BLOCKS / 20; i++)
        release(blocks[i]);
    malloc_trim(0);
    long trimmed = resident_kib();
    /* What is left is the map of what was used: 1.7 % of 160 MB. */
    check(trimmed - start < 4000, "after malloc_trim, resident KiB", trimmed - start, 4000);

    void *zeroed = calloc(1, 1 << 28);
    long after = resident_kib();
    check(zeroed && after - trimmed < 200, "calloc of fresh memory, resident KiB", after - trimmed,
          200);
    release(zeroed);

    long before = faults();
    for (int i = 0; i < 100; i++)
        release(memset(malloc(1 << 20), 1, 1 << 20));
    check(faults() - before < 100 * 256 / 10, "faults in a loop of 100 MiB", faults() - before,
          100 * 256 / 10);
    puts("end");
    return 0;
}
