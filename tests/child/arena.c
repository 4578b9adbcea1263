/* SPDX-License-Identifier: MIT */
/* A desktop program whose heap is one static array: no mmap, no brk, NULL when it is full. */
#include <errno.h>
#include <ffalloc/arena.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static unsigned refused;
static int depth;
static unsigned locked;

void ffalloc_arena_on_out_of_memory(size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
    refused++;
}

void ffalloc_arena_lock(void)
{
    CHECK(depth++ == 0);
    locked++;
}

void ffalloc_arena_unlock(void)
{
    CHECK(--depth == 0);
}

static volatile size_t huge = SIZE_MAX;
static volatile size_t uneven = 3;

static int is_inside(const void *block)
{
    const unsigned char *byte = block;
    return byte >= ffalloc_arena_memory && byte < ffalloc_arena_memory + ffalloc_arena_size;
}

/* Of whatever size: the hook, and errno. */
static void check_that_each_refusal_is_told(void)
{
    const unsigned before = refused;
    void *block = malloc(1);
    void *result = NULL;
    errno = 0;
    CHECK(!malloc(huge) && errno == ENOMEM && refused == before + 1);
    CHECK(!calloc(huge, 16) && !calloc(1, huge) && refused == before + 3);
    CHECK(!realloc(block, huge) && !reallocarray(block, huge, 2) && refused == before + 5);
    CHECK(!aligned_alloc(64, huge) && !memalign(64, huge / 2) && refused == before + 7);
    CHECK(posix_memalign(&result, 64, huge) == ENOMEM && refused == before + 8);
    CHECK(!valloc(huge) && !pvalloc(huge) && refused == before + 10);
    free(block);
}

int main(void)
{
    void *break_before = sbrk(0);
    char *text = strdup("in the arena");
    CHECK(is_inside(text) && ffalloc_arena_size == 64 * 1024 && locked > 0);
    char *line = NULL;
    size_t size = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps && is_inside(maps));
    while (getline(&line, &size, maps) > 0)
        CHECK(!strstr(line, "[heap]"));
    fclose(maps);
    CHECK(is_inside(line));
    free(line);

    void *block = NULL;
    CHECK(posix_memalign(&block, 256, 10) == 0 && (uintptr_t)block % 256 == 0 && is_inside(block));
    block = realloc(block, 1000);
    CHECK(block && malloc_usable_size(block) >= 1000);
    block = reallocarray(block, 20, 100);
    CHECK(block && !reallocarray(block, huge, 2) && errno == ENOMEM);
    free(block);
    CHECK(posix_memalign(&block, 24, 10) == EINVAL && posix_memalign(&block, 64, huge) == ENOMEM);
    char *zeroed = calloc(10, 100);
    for (int i = 0; i < 1000; i++)
        CHECK(zeroed[i] == 0);
    free(zeroed);
    errno = 0;
    CHECK(malloc(64 * 1024) == NULL && errno == ENOMEM && refused > 0);
    CHECK(aligned_alloc(uneven, 3) == NULL && errno == EINVAL);
    CHECK(valloc(100) && pvalloc(1) && memalign(64, 1));
    check_that_each_refusal_is_told();

    struct ffalloc_stats stats;
    ffalloc_stats(ffalloc_arena_pool(), &stats);
    CHECK(stats.block_count >= 4 && ffalloc_check(ffalloc_arena_pool(), NULL));
    free(text);
    CHECK(sbrk(0) == break_before);
    return 0;
}
