/* SPDX-License-Identifier: MIT */
/*
 * One fault at a time, named by the argument, for the checks of misuse, Valgrind and
 * AddressSanitizer. Prints the address that the message must name, and "end" if it gets there.
 *
 *   fault NAME [apart]     apart: with holes between the blocks, as memcheck names whichever
 *                          block it finds first within some 16 bytes
 */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef FAULT_ARENA
#include <ffalloc/arena.h>
FFALLOC_ARENA(128 * 1024)
#endif

struct node {
    struct node *next;
    char text[40];
};

/* Faults go through these, so that the compiler neither warns nor optimises. */
static void (*volatile release)(void *address) = free;
__attribute__((weak)) void free_sized(void *address, size_t size); /* C23's */
static void *(*volatile resize)(void *address, size_t size) = realloc;
static size_t (*volatile usable)(void *address) = malloc_usable_size;
static volatile char sink;
static void *kept;

__attribute__((noinline)) static void leak_cycle(void)
{
    struct node *first = malloc(sizeof *first);
    struct node *second = malloc(sizeof *second);
    first->next = second;
    second->next = first;
}

/* Not right after the buffer of stdout, whose end stdout points to: blocks have nothing between
 * them, so that one's end is the next one's start. */
__attribute__((noinline)) static void leak_one(void)
{
    kept = malloc(100);
    sink = malloc(77) != NULL;
}

/* Overwrites what leak_* left of its pointers on the stack. */
__attribute__((noinline)) static void clear_stack(void)
{
    volatile char bytes[4096];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 0;
}

__attribute__((noinline)) static void read_uninitialised(const char *bytes)
{
    if (bytes[20])
        sink = 1;
}

/* What a fault may spoil; a block that it gave back is NULL after it. */
static char *before;
static char *block;
static char *odd; /* of 61 bytes, the others of 64 */
static char *after;

static void give(char **which)
{
    release(*which);
    *which = NULL;
}

static void overflow(void)
{
    ((volatile char *)odd)[61] = 1;
}

/* Of a block that is a multiple of the granule: nothing lies between it and the next. */
static void overflow_even(void)
{
    ((volatile char *)block)[64] = 1;
}

/* All of a guard. */
static void overflow_long(void)
{
    for (size_t i = 0; i < 64; i++)
        ((volatile char *)block)[64 + i] = 1;
    block = resize(block, 50);
}

static void underflow(void)
{
    ((volatile char *)block)[-1] = 1;
}

static void use_after_free(void)
{
    char *stale = block;
    give(&block);
    ((volatile char *)stale)[30] = 1;
}

/* The memory may be given out again after it was written to, or before. */
static void use_after_reuse(void)
{
    char *stale = block;
    give(&block);
    ((volatile char *)stale)[30] = 1;
    block = malloc(64);
}

static void late_use_after_free(void)
{
    char *stale = block;
    give(&block);
    block = malloc(64);
    ((volatile char *)stale)[30] = 1;
}

static void uninitialised(void)
{
    read_uninitialised(block);
}

static void leak(void)
{
    leak_one();
    clear_stack();
}

static void leak_two(void)
{
    leak_cycle();
    clear_stack();
}

static void double_free(void)
{
    release(block);
    give(&block);
}

/* The memory may be given out again in between. */
static void late_double_free(void)
{
    char *stale = block;
    give(&block);
    block = malloc(64);
    release(stale);
}

static void double_free_merged(void)
{
    give(&before);
    double_free();
}

static void interior_free(void)
{
    release(block + 16);
}

static void end_free(void)
{
    release(block + usable(block));
}

static void misaligned_free(void)
{
    release(block + 1);
}

static void foreign_free(void)
{
    int local;
    release(&local);
}

static void wild_free(void)
{
    release((void *)(uintptr_t)0x1000);
}

/* With FFALLOC_POOL: behind the last granule, in what is left of its page. */
static void behind_pool_free(void)
{
    char *end = block;
    for (char *next; (next = malloc(16)) != NULL;)
        end = next + 16;
    release(end + 256);
}

static void realloc_freed(void)
{
    char *stale = block;
    give(&block);
    sink = resize(stale, 100) != NULL;
}

static void realloc_interior(void)
{
    sink = resize(block + 32, 100) != NULL;
}

/* Larger by less than a granule. */
static void wrong_size(void)
{
    free_sized(odd, 62);
    odd = NULL;
}

static void larger_size(void)
{
    free_sized(odd, 100);
    odd = NULL;
}

static void usable_size_freed(void)
{
    char *stale = block;
    give(&block);
    sink = usable(stale) != 0;
}

/* No fault: sizes down, up, and far up, all of each used. */
static void realloc_good(void)
{
    static const size_t sizes[] = {40, 64, 5000};
    for (int i = 0; i < 3; i++) {
        block = resize(block, sizes[i]);
        memset(block, 1, sizes[i]);
    }
}

static void realloc_shrunk(void)
{
    block = resize(block, 40);
    ((volatile char *)block)[40] = 1;
}

static void realloc_grown(void)
{
    block = resize(block, 5001);
    ((volatile char *)block)[5000] = 1;
    ((volatile char *)block)[5001] = 1;
}

static const struct {
    const char *name;
    void (*apply)(void);
} faults[] = {
    {"overflow", overflow},
    {"overflow-even", overflow_even},
    {"overflow-long", overflow_long},
    {"underflow", underflow},
    {"use-after-free", use_after_free},
    {"use-after-reuse", use_after_reuse},
    {"late-use-after-free", late_use_after_free},
    {"uninitialised", uninitialised},
    {"leak", leak},
    {"leak-cycle", leak_two},
    {"double-free", double_free},
    {"late-double-free", late_double_free},
    {"double-free-merged", double_free_merged},
    {"interior-free", interior_free},
    {"end-free", end_free},
    {"misaligned-free", misaligned_free},
    {"foreign-free", foreign_free},
    {"wild-free", wild_free},
    {"behind-pool-free", behind_pool_free},
    {"realloc-freed", realloc_freed},
    {"realloc-interior", realloc_interior},
    {"wrong-size", wrong_size},
    {"larger-size", larger_size},
    {"usable-size-freed", usable_size_freed},
    {"realloc-good", realloc_good},
    {"realloc-shrunk", realloc_shrunk},
    {"realloc-grown", realloc_grown},
};

/* The four blocks side by side, or each with a hole of `apart` bytes on its right. */
static void take_blocks(size_t apart)
{
    before = malloc(64 + apart);
    block = malloc(64 + apart);
    odd = malloc(61 + apart);
    after = malloc(64 + apart);
    if (apart == 0)
        return;
    before = resize(before, 64);
    block = resize(block, 64);
    odd = resize(odd, 61);
    after = resize(after, 64);
}

int main(int argc, char **argv)
{
    take_blocks(argc > 2 ? 256 : 0);
    printf("%p\n", (void *)block);
    fflush(stdout);
    for (size_t i = 0; argc > 1 && i < sizeof faults / sizeof *faults; i++)
        if (strcmp(argv[1], faults[i].name) == 0)
            faults[i].apply();
    give(&before);
    give(&block);
    give(&odd);
    give(&after);
    release(kept);
    puts("end");
    return 0;
}
