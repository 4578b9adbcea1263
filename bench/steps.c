/* SPDX-License-Identifier: MIT */
/*
 * Counts the instructions of single calls, exactly, on x86: with the trap flag set, the processor
 * raises a signal after every instruction.
 *
 *   steps POOL_SIZE SCENARIO      the worst call of each kind against an adversary (adversary.h)
 *
 * Prints: scenario, worst malloc, free and aligned_alloc, and how many calls were counted.
 */
#if !defined(__x86_64__) && !defined(__i386__)
#error "steps counts by the trap flag of x86"
#endif

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "adversary.h"

static volatile unsigned long step_count;
static unsigned long own_count; /* steps of an empty measurement */
static unsigned long worst[KIND_COUNT];
static unsigned long call_count;

static void on_step(int number)
{
    (void)number;
    step_count++;
}

static inline void start(void)
{
    step_count = 0;
#ifdef __x86_64__
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
#else
    __asm__ volatile("pushfl; orl $0x100, (%%esp); popfl" ::: "memory", "cc");
#endif
}

static inline void stop(enum kind kind)
{
#ifdef __x86_64__
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
#else
    __asm__ volatile("pushfl; andl $~0x100, (%%esp); popfl" ::: "memory", "cc");
#endif
    unsigned long taken = step_count - own_count;
    worst[kind] = taken > worst[kind] ? taken : worst[kind];
    call_count++;
}

static void *counted_malloc(struct ffalloc_pool *pool, size_t size)
{
    start();
    void *block = ffalloc_malloc(pool, size);
    stop(KIND_MALLOC);
    return block;
}

static void *counted_aligned(struct ffalloc_pool *pool, size_t alignment, size_t size)
{
    start();
    void *block = ffalloc_aligned_alloc(pool, alignment, size);
    stop(KIND_ALIGNED);
    return block;
}

static void counted_free(struct ffalloc_pool *pool, void *block)
{
    start();
    ffalloc_free(pool, block);
    stop(KIND_FREE);
}

static void *pages(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fputs("steps: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static void play(const struct scenario *scenario, size_t pool_size)
{
    struct ffalloc_config config = {.is_zeroed = true};
    size_t limit = pool_size / 8;
    void **blocks = pages(limit * sizeof *blocks);
    for (unsigned i = 0; i < 14 && scenario->granules[i]; i++) {
        void *memory = pages(pool_size);
        struct stage stage = {.blocks = blocks, .limit = limit, .seed = 1, .granule = 16};
        config.granule = stage.granule;
        stage.pool = ffalloc_init_with(memory, pool_size, &config);
        scenario->play(&stage, scenario->granules[i]);
        if (!ffalloc_check(stage.pool, NULL)) {
            fputs("steps: the pool is damaged\n", stderr);
            exit(1);
        }
        munmap(memory, pool_size);
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_step};
    size_t pool_size = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    sigaction(SIGTRAP, &action, NULL);
    start();
    stop(KIND_MALLOC);
    own_count = step_count;
    memset(worst, 0, sizeof worst);
    call_count = 0;
    for (unsigned i = 0; pool_size && i < SCENARIO_COUNT; i++)
        if (strcmp(argv[2], scenarios[i].name) == 0) {
            play(&scenarios[i], pool_size);
            printf("%s %lu %lu %lu %lu\n", argv[2], worst[KIND_MALLOC], worst[KIND_FREE],
                   worst[KIND_ALIGNED], call_count);
            return 0;
        }
    fputs("usage: steps POOL_SIZE SCENARIO (adversary.h has the scenarios)\n", stderr);
    return 2;
}
