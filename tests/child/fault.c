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
static void (*volatile release)(void *block) = free;
static void *(*volatile resize)(void *block, size_t size) = realloc;
static size_t (*volatile usable)(void *block) = malloc_usable_size;
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

__attribute__((noinline)) static void read_uninitialised(const char *block)
{
    if (block[20])
        sink = 1;
}

int main(int argc, char **argv)
{
    const char *fault = argc > 1 ? argv[1] : "none";
    size_t apart = argc > 2 ? 256 : 0;
    char *before = malloc(64 + apart);
    char *block = malloc(64 + apart);
    char *odd = malloc(61 + apart);
    char *after = malloc(64 + apart);
    if (apart) {
        before = resize(before, 64);
        block = resize(block, 64);
        odd = resize(odd, 61);
        after = resize(after, 64);
    }
    int local;
    printf("%p\n", (void *)block);
    fflush(stdout);
    if (strcmp(fault, "overflow") == 0) {
        ((volatile char *)odd)[61] = 1;
    } else if (strcmp(fault, "underflow") == 0) {
        ((volatile char *)block)[-1] = 1;
    } else if (strcmp(fault, "use-after-free") == 0) {
        release(block);
        ((volatile char *)block)[30] = 1;
        block = NULL;
    } else if (strcmp(fault, "uninitialised") == 0) {
        read_uninitialised(block);
    } else if (strcmp(fault, "leak") == 0) {
        leak_one();
        clear_stack();
    } else if (strcmp(fault, "leak-cycle") == 0) {
        leak_cycle();
        clear_stack();
    } else if (strcmp(fault, "double-free") == 0) {
        release(block);
        release(block);
        block = NULL;
    } else if (strcmp(fault, "double-free-merged") == 0) {
        release(before);
        release(block);
        release(block);
        before = block = NULL;
    } else if (strcmp(fault, "interior-free") == 0) {
        release(block + 16);
    } else if (strcmp(fault, "misaligned-free") == 0) {
        release(block + 1);
    } else if (strcmp(fault, "foreign-free") == 0) {
        release(&local);
    } else if (strcmp(fault, "wild-free") == 0) {
        release((void *)(uintptr_t)0x1000);
    } else if (strcmp(fault, "realloc-freed") == 0) {
        release(block);
        sink = resize(block, 100) != NULL;
        block = NULL;
    } else if (strcmp(fault, "realloc-interior") == 0) {
        sink = resize(block + 32, 100) != NULL;
    } else if (strcmp(fault, "usable-size-freed") == 0) {
        release(block);
        sink = usable(block) != 0;
        block = NULL;
    } else if (strcmp(fault, "realloc-good") == 0) {
        block = resize(block, 40);
        memset(block, 1, 40);
        block = resize(block, 64);
        memset(block, 1, 64);
        block = resize(block, 5000);
        memset(block, 1, 5000);
    } else if (strcmp(fault, "realloc-shrunk") == 0) {
        block = resize(block, 40);
        ((volatile char *)block)[40] = 1;
    } else if (strcmp(fault, "realloc-grown") == 0) {
        block = resize(block, 5001);
        ((volatile char *)block)[5000] = 1;
        ((volatile char *)block)[5001] = 1;
    }
    release(before);
    release(block);
    release(odd);
    release(after);
    release(kept);
    puts("end");
    return 0;
}
