/* SPDX-License-Identifier: MIT */
/*
 * The rules of malloc's family that programs rely on, as glibc keeps them. The same program runs
 * with glibc alone, so that a rule written down wrongly here fails there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned passed;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);      \
            exit(1);                                                                               \
        }                                                                                          \
        passed++;                                                                                  \
    } while (0)

/* Sizes and pointers that the compiler must not reason about. */
static volatile size_t huge = (size_t)PTRDIFF_MAX + 1;
static volatile size_t largest = SIZE_MAX;

static volatile size_t uneven = 48;

static void *volatile kept;

static void *keep(void *block)
{
    kept = block;
    return kept;
}

static int fails_with(void *block, int error)
{
    int is_so = keep(block) == NULL && errno == error;
    errno = 0;
    return is_so;
}

static int is_zero(const unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (block[i])
            return 0;
    return 1;
}

static void check_malloc(void)
{
    for (size_t size = 0; size < 5000; size = size * 3 / 2 + 1) {
        unsigned char *block = keep(malloc(size));
        CHECK(block && (uintptr_t)block % 16 == 0 && malloc_usable_size(block) >= size);
        memset(block, 0xee, malloc_usable_size(block));
        free(block);
    }
    void *first = keep(malloc(0));
    void *second = keep(malloc(0));
    CHECK(first && second && first != second);
    free(first);
    free(second);
    errno = 0;
    CHECK(fails_with(malloc(huge), ENOMEM));
    CHECK(fails_with(malloc(largest), ENOMEM));
    CHECK(malloc_usable_size(NULL) == 0);
}

static void check_free(void)
{
    free(NULL);
    errno = 77;
    for (size_t size = 1; size < (size_t)64 << 20; size *= 8) {
        char *block = keep(malloc(size));
        CHECK(block);
        memset(block, 1, size);
        free(block);
        CHECK(errno == 77);
    }
    errno = 0;
}

static void check_calloc(void)
{
    for (size_t size = 1; size < 3000000; size *= 5) {
        void *dirty = keep(malloc(size));
        memset(dirty, 0xff, size);
        free(dirty);
        unsigned char *block = keep(calloc(size, 1));
        CHECK(block && is_zero(block, size));
        free(block);
    }
    CHECK(fails_with(calloc(largest / 2, 3), ENOMEM));
    CHECK(fails_with(calloc(huge, 1), ENOMEM));
    CHECK(fails_with(calloc(1, huge), ENOMEM));
    void *none = keep(calloc(0, 8));
    CHECK(none);
    free(none);
}

static void check_realloc(void)
{
    char *block = keep(realloc(NULL, 10));
    CHECK(block);
    strcpy(block, "contents");
    for (size_t size = 10; size < 10000000; size *= 3) {
        block = keep(realloc(block, size));
        CHECK(block && (uintptr_t)block % 16 == 0 && strcmp(block, "contents") == 0);
    }
    CHECK(fails_with(realloc(block, huge), ENOMEM));
    CHECK(strcmp(block, "contents") == 0);
    block = keep(realloc(block, 9));
    CHECK(block && strcmp(block, "contents") == 0);
    CHECK(keep(realloc(block, 0)) == NULL);
    block = keep(reallocarray(NULL, 10, 10));
    CHECK(block);
    block = keep(reallocarray(block, 20, 10));
    CHECK(block && fails_with(reallocarray(NULL, huge, 3), ENOMEM));
    free(block);
    block = keep(realloc(NULL, 0));
    CHECK(block);
    free(block);
}

static void check_posix_memalign(void)
{
    void *block = (void *)1;
    errno = 77;
    CHECK(posix_memalign(&block, 0, 8) == EINVAL && errno == 77);
    CHECK(posix_memalign(&block, 2, 8) == EINVAL);
    CHECK(posix_memalign(&block, 24, 8) == EINVAL && block == (void *)1);
    CHECK(errno == 77);
    CHECK(posix_memalign(&block, 64, huge) == ENOMEM && block == (void *)1 && errno == ENOMEM);
    errno = 0;
    for (size_t alignment = sizeof(void *); alignment <= 1 << 20; alignment *= 2) {
        CHECK(posix_memalign(&block, alignment, 100) == 0);
        CHECK(block && (uintptr_t)block % alignment == 0 && malloc_usable_size(block) >= 100);
        memset(block, 1, 100);
        block = keep(realloc(block, 5000));
        CHECK(block);
        free(block);
    }
    CHECK(posix_memalign(&block, 64, 0) == 0);
    free(block);
}

static void check_aligned(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *block = keep(aligned_alloc(256, 1000));
    CHECK(block && (uintptr_t)block % 256 == 0);
    free(block);
    block = keep(memalign(512, 7));
    CHECK(block && (uintptr_t)block % 512 == 0);
    free(block);
    block = keep(memalign(uneven, 7));
    CHECK(block && (uintptr_t)block % 64 == 0);
    free(block);
    CHECK(fails_with(memalign(largest, 7), EINVAL));
    CHECK(fails_with(memalign(64, huge), ENOMEM));
    block = keep(valloc(10));
    CHECK(block && (uintptr_t)block % page == 0);
    free(block);
    block = keep(pvalloc(page + 1));
    CHECK(block && (uintptr_t)block % page == 0 && malloc_usable_size(block) >= 2 * page);
    free(block);
    CHECK(fails_with(pvalloc(largest), ENOMEM));
    CHECK(fails_with(valloc(huge), ENOMEM));
}

static void check_info(void)
{
    enum { SIZE = 1 << 20 };
    struct mallinfo2 before = mallinfo2();
    char *block = keep(malloc(SIZE));
    memset(block, 1, SIZE);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks + after.hblkhd >= before.uordblks + before.hblkhd + SIZE);
    CHECK(after.arena + after.hblkhd >= SIZE);
    free(block);
    after = mallinfo2();
    CHECK(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + SIZE);
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(malloc_info(0, stream) == 0);
    fclose(stream);
    CHECK(strncmp(text, "<malloc version=\"1\">", 20) == 0 && strstr(text, "</malloc>"));
    free(text);
    CHECK(malloc_info(1, stdout) == EINVAL);
    static const int options[] = {M_TRIM_THRESHOLD,
                                  M_TOP_PAD,
                                  M_MMAP_THRESHOLD,
                                  M_MMAP_MAX,
                                  M_CHECK_ACTION,
                                  M_PERTURB,
                                  M_ARENA_TEST,
                                  M_ARENA_MAX,
                                  M_NLBLKS,
                                  M_GRAIN,
                                  M_KEEP,
                                  0,
                                  -9,
                                  12345};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        CHECK(mallopt(options[i], 0) == 1 && mallopt(options[i], 1 << 20) == 1);
    CHECK(mallopt(M_MXFAST, 0) == 1 && mallopt(M_MXFAST, 20 * sizeof(size_t)) == 1);
    CHECK(mallopt(M_MXFAST, 20 * sizeof(size_t) + 1) == 0 && mallopt(M_MXFAST, -1) == 0);
    malloc_trim(0);
}

int main(void)
{
    check_malloc();
    check_free();
    check_calloc();
    check_realloc();
    check_posix_memalign();
    check_aligned();
    check_info();
    printf("%u passed\n", passed);
    return 0;
}
