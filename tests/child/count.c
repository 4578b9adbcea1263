/* SPDX-License-Identifier: MIT */
/*
 * Known numbers of requests, for the tests of FFALLOC_STATS, FFALLOC_FILL and FFALLOC_FAIL.
 *
 *   count          1000 served, one refused, 900 freed
 *   count none     none
 *   count fill     the bytes of new, of freed and of zeroed memory
 *   count fail     one character for each of 10 requests of 100, 200, ... bytes: x if it failed
 *   count chance   the same for 1000 requests
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *(*volatile take)(size_t size) = malloc;
static void (*volatile release)(void *block) = free;
static volatile size_t too_much = (size_t)1 << (sizeof(size_t) * 8 - 2);

static void count_all(void)
{
    static void *blocks[1000];
    for (int i = 0; i < 1000; i++)
        blocks[i] = take((size_t)i);
    for (int i = 0; i < 900; i++)
        release(blocks[i]);
    if (take(too_much))
        exit(1);
}

static void show_fill(void)
{
    unsigned char *block = take(1000);
    printf("%02x ", block[500]);
    release(block);
    printf("%02x ", block[500]);
    unsigned char *zeroed = calloc(1, 1000);
    printf("%02x\n", zeroed[500]);
}

static void show_failures(int count)
{
    char *line = (char[1001]){0};
    for (int i = 0; i < count; i++)
        line[i] = take((size_t)(i % 10 + 1) * 100) ? '.' : 'x';
    write(1, line, (size_t)count);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    if (strcmp(what, "all") == 0)
        count_all();
    else if (strcmp(what, "fill") == 0)
        show_fill();
    else if (strcmp(what, "fail") == 0)
        show_failures(10);
    else if (strcmp(what, "chance") == 0)
        show_failures(1000);
    return 0;
}
