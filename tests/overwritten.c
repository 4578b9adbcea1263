/* SPDX-License-Identifier: MIT */
/*
 * A campaign of damage: bytes of a pool's map or index are overwritten, as by a block before the
 * pool's first or by a stray pointer, and then calls are made at random. Where blocks go is
 * anybody's guess from then on, but no call may leave the pool's memory or go on for ever, and
 * every block lies in the pool. (The header, with its pointers, is not overwritten: nothing could
 * be right then.) Each trial is a process of its own, and the pool lies between two pages without
 * access, at either end in turn.
 *
 *     overwritten [trials [first seed]]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/core/pool.h"
#include "ffalloc/ffalloc.h"

#define PAGE    4096u
#define MOST    (256u * 1024u)
#define BLOCKS  200u
#define CALLS   400u
#define SECONDS 20u

enum ending { WELL, TOLD, LEFT_THE_POOL, ENDLESS };

static uint64_t state;
static unsigned told_count;

static size_t choose(size_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % below;
}

static void on_error(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    (void)pool;
    (void)address;
    told_count += kind == FFALLOC_DAMAGED;
}

static struct ffalloc_pool *make_pool(void)
{
    static const size_t granules[] = {8, 16, 32};
    unsigned char *memory =
        mmap(NULL, MOST + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + PAGE, MOST, PROT_READ | PROT_WRITE))
        return NULL;
    size_t size = (512 + choose(choose(2) ? MOST - 512 : 4096)) & ~(size_t)63;
    size_t skip = choose(2) ? MOST - size : 0;
    mprotect(memory + PAGE + (skip ? 0 : (size + PAGE - 1) & ~(PAGE - 1)),
             skip ? skip & ~(PAGE - 1) : MOST - ((size + PAGE - 1) & ~(PAGE - 1)), PROT_NONE);
    struct ffalloc_config config = {.granule = granules[choose(3)], .on_error = on_error};
    return ffalloc_init_with(memory + PAGE + skip, size, &config);
}

static size_t size_of_request(const struct ffalloc_pool *pool)
{
    size_t most[] = {100, 600, 6000, (pool->granule_count << pool->granule_log2) / 3 + 1};
    return choose(most[choose(4)]);
}

static bool is_inside(const struct ffalloc_pool *pool, const unsigned char *block, size_t size)
{
    size_t usable = pool->granule_count << pool->granule_log2;
    size_t offset = (size_t)(block - pool->blocks);
    return !block || (offset < usable && size <= usable - offset);
}

static bool visit(void *context, const struct ffalloc_block *block)
{
    const struct ffalloc_pool *pool = context;
    return is_inside(pool, block->address, block->size);
}

static void look(struct ffalloc_pool *pool)
{
    struct ffalloc_stats stats;
    struct ffalloc_fault fault;
    struct ffalloc_block block;
    switch (choose(5)) {
    case 0:
        ffalloc_check(pool, &fault);
        return;
    case 1:
        ffalloc_stats(pool, &stats);
        return;
    case 2:
        ffalloc_walk(pool, visit, pool);
        return;
    case 3:
        ffalloc_find(pool, pool->blocks + choose(pool->granule_count << pool->granule_log2),
                     &block);
        return;
    default:
        ffalloc_reset_marks(pool);
    }
}

/* One call; returns whether what it gave lies in the pool. */
static bool call(struct ffalloc_pool *pool, unsigned char **slot)
{
    size_t size = size_of_request(pool);
    unsigned char *block;
    switch (choose(*slot ? 12 : 6)) {
    case 0:
        look(pool);
        return true;
    case 1:
        block = ffalloc_aligned_alloc(pool, (size_t)8 << choose(9), size);
        break;
    case 2:
        block = ffalloc_calloc(pool, 1, size);
        break;
    case 3:
    case 4:
    case 5:
        block = ffalloc_malloc(pool, size);
        break;
    case 6:
        block = ffalloc_realloc(pool, *slot, size);
        if (!block)
            return true;
        break;
    case 7:
        return is_inside(pool, *slot, ffalloc_usable_size(pool, *slot));
    case 8:
        return !ffalloc_resize(pool, *slot, size) || is_inside(pool, *slot, size);
    default:
        ffalloc_free(pool, *slot);
        *slot = NULL;
        return true;
    }
    *slot = block;
    return is_inside(pool, block, size);
}

static bool make_calls(struct ffalloc_pool *pool, unsigned char **blocks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!call(pool, &blocks[choose(BLOCKS)]))
            return false;
    return true;
}

static void damage(struct ffalloc_pool *pool)
{
    unsigned char *start = (unsigned char *)pool->leaves;
    size_t size = (size_t)(pool->blocks - start);
    size_t count = 1 + choose(8);
    size_t at = choose(2) ? choose(size) : size - count; /* below the first block */
    unsigned char byte = (unsigned char)(choose(2) ? 0xff * choose(2) : choose(256));
    for (size_t i = 0; i < count && at + i < size; i++)
        start[at + i] = choose(3) ? (unsigned char)choose(256) : byte;
}

static enum ending trial(uint64_t seed)
{
    unsigned char *blocks[BLOCKS] = {NULL};
    state = seed * 0x9e3779b97f4a7c15u + 1;
    struct ffalloc_pool *pool = make_pool();
    if (!pool)
        return WELL;
    make_calls(pool, blocks, (unsigned)choose(CALLS));
    for (unsigned i = 0; i < 4; i++) {
        damage(pool);
        if (!make_calls(pool, blocks, CALLS / 4))
            return LEFT_THE_POOL;
    }
    return told_count ? TOLD : WELL;
}

static enum ending trial_apart(uint64_t seed)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        _exit(trial(seed));
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status))
        return (enum ending)WEXITSTATUS(status);
    return WTERMSIG(status) == SIGALRM ? ENDLESS : LEFT_THE_POOL;
}

int main(int count, char **words)
{
    unsigned long trials = count > 1 ? strtoul(words[1], NULL, 10) : 2000;
    unsigned long first = count > 2 ? strtoul(words[2], NULL, 10) : 1;
    unsigned endings[ENDLESS + 1] = {0};
    for (unsigned long seed = first; seed < first + trials; seed++) {
        enum ending ending = trial_apart(seed);
        endings[ending]++;
        if (ending > TOLD)
            printf("seed %lu: %s\n", seed, ending == ENDLESS ? "no end" : "left the pool");
    }
    printf("%lu trials: %u told of, %u left the pool, %u without end\n", trials, endings[TOLD],
           endings[LEFT_THE_POOL], endings[ENDLESS]);
    return endings[LEFT_THE_POOL] || endings[ENDLESS] || !endings[TOLD];
}
