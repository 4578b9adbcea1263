/* SPDX-License-Identifier: MIT */
/*
 * What a program does that runs with FFALLOC_SAMPLE, named by the argument.
 *
 *   handled   a fault at a sampled block, which the program's own handler survives
 *   good      blocks of all kinds, of which each byte is used
 *   threads   blocks of some threads, handed over, with forks in between
 *   churn     blocks that come and go, 200000 of them
 *   far UP    from a block, a write so many bytes away (a number with its sign)
 *   places    from a block to the library, and to its pool's header, in bytes
 */
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void (*volatile release)(void *address) = free;
static sigjmp_buf after;

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(after, 1);
}

static int is_touched(volatile char *address)
{
    if (sigsetjmp(after, 1))
        return 0;
    *address = 1;
    return 1;
}

static void handled(void)
{
    char *block = malloc(64);
    signal(SIGSEGV, on_fault);
    printf("%s\n", is_touched(block + 64) ? "missed" : "handled");
    release(block);
}

static void need(int holds)
{
    if (!holds)
        abort();
}

static void good(void)
{
    for (size_t size = 0; size < 20000; size = size * 5 / 4 + 1) {
        char *block = malloc(size), *zeroed = calloc(1, size);
        need(block && malloc_usable_size(block) >= size && (uintptr_t)block % 16 == 0);
        memset(block, 1, size);
        for (size_t i = 0; i < size; i++)
            need(zeroed[i] == 0);
        block = realloc(block, 2 * size + 1);
        for (size_t i = 0; i < size; i++)
            need(block[i] == 1);
        block = realloc(block, size / 2 + 1);
        need(size < 2 || block[size / 2] == 1);
        for (size_t alignment = 16; alignment <= 65536; alignment *= 2) {
            char *aligned = aligned_alloc(alignment, size);
            need(aligned && (uintptr_t)aligned % alignment == 0);
            memset(aligned, 2, size);
            free(aligned);
        }
        free(zeroed);
        free(block);
    }
}

static void *shared[64];

static void in_child(void)
{
    pid_t child = fork();
    int status;
    if (child == 0) {
        for (size_t i = 0; i < 2000; i++)
            release(malloc(i + 1));
        _exit(0);
    }
    need(waitpid(child, &status, 0) == child && status == 0);
}

static void *work(void *number)
{
    unsigned seed = (unsigned)(uintptr_t)number;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245u + 12345u;
        size_t size = (seed >> 16) % 3000 + 1;
        char *block = malloc(size);
        memset(block, 1, size);
        block = realloc(block, size / 2 + 1);
        free(__atomic_exchange_n(&shared[seed >> 8 & 63], block, __ATOMIC_ACQ_REL));
        if (number == (void *)1 && i % 2000 == 0)
            in_child();
    }
    return NULL;
}

static void threads(void)
{
    pthread_t all[4];
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&all[i], NULL, work, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(all[i], NULL);
}

static void churn(void)
{
    static void *blocks[100];
    for (size_t i = 0; i < 200000; i++) {
        release(blocks[i % 100]);
        blocks[i % 100] = malloc(i % 500 + 1);
    }
}

static void far(const char *distance)
{
    volatile char *block = malloc(64);
    block[strtoll(distance, NULL, 0)] = 1;
}

extern void *ffalloc_pools[] __attribute__((weak));

static void places(void)
{
    uintptr_t block = (uintptr_t)malloc(16);
    printf("%zu %zu\n", (uintptr_t)&malloc - block, block - (uintptr_t)ffalloc_pools[0]);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "handled") == 0)
        handled();
    else if (strcmp(what, "good") == 0)
        good();
    else if (strcmp(what, "threads") == 0)
        threads();
    else if (strcmp(what, "churn") == 0)
        churn();
    else if (strcmp(what, "far") == 0)
        far(argv[2]);
    else if (strcmp(what, "places") == 0)
        places();
    puts("end");
    return 0;
}
