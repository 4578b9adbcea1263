/* SPDX-License-Identifier: MIT */
/*
 * A firmware whose malloc is exact first fit in a static array of 64 KiB: it keeps a few records,
 * and says what its heap needed. Built for a Cortex-M3 with newlib and an RV32 with picolibc; see
 * README.md beside this file.
 */
#include <ffalloc/arena.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

FFALLOC_ARENA(64 * 1024)

#define RECORDS 40u

struct record {
    struct record *next;
    char *text;
};

static struct record *add(struct record *list, unsigned number)
{
    char text[40];
    struct record *record = malloc(sizeof *record);
    snprintf(text, sizeof text, "record %u, of %u characters", number, number % 17);
    record->next = list;
    record->text = strdup(text);
    return record;
}

static struct record *drop(struct record *list)
{
    struct record *next = list->next;
    free(list->text);
    free(list);
    return next;
}

/* A place for a debugger to stop at. */
__attribute__((noinline)) static void report(const struct record *list)
{
    struct ffalloc_stats stats;
    ffalloc_stats(ffalloc_arena_pool(), &stats);
    printf("%s\n", list->text);
    printf("usable %u\nused %u\nblocks %u\nholes %u\nhigh water %u\nlargest hole %u\n",
           (unsigned)stats.usable_size, (unsigned)stats.used_size, (unsigned)stats.block_count,
           (unsigned)stats.hole_count, (unsigned)stats.high_water_size,
           (unsigned)stats.largest_hole_size);
}

int main(void)
{
    struct record *list = NULL;
    for (unsigned i = 0; i < RECORDS; i++) {
        list = add(list, i);
        if (i % 3 == 0)
            list = drop(list);
    }
    while (malloc(4096)) /* a leak, until nothing more fits */
        continue;
    report(list);
    struct ffalloc_fault fault;
    if (!ffalloc_check(ffalloc_arena_pool(), &fault)) {
        printf("rule %s does not hold at %u\n", fault.rule, (unsigned)fault.offset);
        return 1;
    }
    return 0;
}
