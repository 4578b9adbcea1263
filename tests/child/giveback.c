/* SPDX-License-Identifier: MIT */
/*
 * Large memory goes back to the system at the free that makes it enough: whoever frees it, however
 * few blocks it is in, and whatever pools it lies in.
 *
 *   giveback one | few | realloc | remote | ways | passed | threads | left | sum
 *
 * The number after it, if there is one, is how many MiB to take instead of 240.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB     ((size_t)1 << 20)
#define THREADS 16
#define SHARE   (40 * MIB) /* of each of these threads */

static void (*volatile release)(void *block) = free;
static size_t total = 240 * MIB;

static size_t resident(void)
{
    static char text[100]; /* no stdio, which would allocate */
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || !fgets(text, sizeof text, file) || sscanf(text, "%*d %zu", &pages) != 1)
        exit(2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t at_start;

/* No more than so much is resident beyond what was at the start. */
static void expect_at_most(const char *what, size_t limit)
{
    size_t now = resident();
    size_t more = now > at_start ? now - at_start : 0;
    printf("%s: %zu KiB, at most %zu\n", what, more >> 10, limit >> 10);
    if (more > limit)
        exit(1);
}

static char *take(size_t size)
{
    char *block = malloc(size);
    if (!block)
        exit(2);
    memset(block, 1, size);
    return block;
}

static void free_one(void)
{
    release(take(total));
    expect_at_most("one block", 4 * MIB);
}

static void free_few(void)
{
    char *blocks[60];
    for (int i = 0; i < 60; i++)
        blocks[i] = take(total / 60);
    for (int i = 0; i < 60; i++)
        release(blocks[i]);
    expect_at_most("few blocks", 48 * MIB);
}

static void make_smaller(void)
{
    char *block = realloc(take(total), 100);
    expect_at_most("a block made smaller", 4 * MIB);
    release(block);
}

static void *free_it(void *block)
{
    release(block);
    return NULL;
}

static void join(pthread_t thread)
{
    if (pthread_join(thread, NULL))
        exit(2);
}

static pthread_t start(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, argument))
        exit(2);
    return thread;
}

/* The owner takes it while it is the only thread, and makes no call after it. */
static void free_elsewhere(void)
{
    char *block = take(total);
    join(start(free_it, block));
    expect_at_most("freed by another thread", 6 * MIB);
}

/* Each way to place a large block. */
static char *take_by(int way)
{
    void *aligned = NULL;
    char *block = way == 0   ? calloc(1, total)
                  : way == 1 ? aligned_alloc(4096, total)
                  : way == 2 ? realloc(malloc(100), total)
                  : way == 3 ? realloc(calloc(2, 100), total + 4096)
                  : way == 4 && posix_memalign(&aligned, 64, total) == 0 ? aligned
                                                                         : malloc(total);
    if (!block)
        exit(2);
    return memset(block, 1, total);
}

/* Before there is a second thread, and while there is one. */
static void free_elsewhere_of_each_way(void)
{
    char *blocks[6];
    total /= 6;
    for (int round = 0; round < 2; round++) {
        for (int way = 0; way < 6; way++)
            blocks[way] = take_by(way);
        for (int way = 0; way < 6; way++)
            join(start(free_it, blocks[way]));
        expect_at_most("of each way, freed by another thread", 16 * MIB);
    }
}

static pthread_barrier_t passing;

static void *make_and_wait(void *block)
{
    *(void **)block = take(total);
    pthread_barrier_wait(&passing);
    pthread_barrier_wait(&passing);
    return NULL;
}

/* The owner is a thread with a pool of its own, and lives on. */
static void free_of_thread(void)
{
    void *block;
    pthread_barrier_init(&passing, NULL, 2);
    pthread_t owner = start(make_and_wait, &block);
    pthread_barrier_wait(&passing);
    release(block);
    expect_at_most("a thread's block freed by another", 6 * MIB);
    pthread_barrier_wait(&passing);
    join(owner);
}

#define PIECE (100 << 10)
static pthread_barrier_t barrier;
static char *pieces[THREADS][SHARE / PIECE];
static int frees_itself;

static void *take_share(void *number)
{
    char **own = pieces[(size_t)number];
    for (size_t i = 0; i < SHARE / PIECE; i++)
        own[i] = take(PIECE);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; frees_itself && i < SHARE / PIECE; i++)
        release(own[i]);
    return NULL;
}

/* Sixteen threads in pools of their own. */
static void run_threads(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = start(take_share, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        join(threads[i]);
}

static void end_threads(void)
{
    frees_itself = 1;
    run_threads();
    expect_at_most("threads that freed all and ended", 24 * MIB);
}

static void free_what_is_left(void)
{
    run_threads();
    for (size_t i = 0; i < THREADS; i++)
        for (size_t k = 0; k < SHARE / PIECE; k++)
            release(pieces[i][k]);
    /* One of them shared a pool with this thread, which may use its pages again. */
    expect_at_most("what ended threads left", 24 * MIB + SHARE);
}

static pthread_barrier_t ending;

static void *take_and_stay(void *number)
{
    char *block = take(SHARE);
    pthread_barrier_wait(&barrier);
    release(block);
    pthread_barrier_wait(&ending);
    pthread_barrier_wait(&ending);
    return number;
}

/* None of them frees as much as is worth while, all together do. */
static void free_together(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    pthread_barrier_init(&ending, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = start(take_and_stay, NULL);
    pthread_barrier_wait(&ending);
    expect_at_most("of threads that live on", 64 * MIB);
    pthread_barrier_wait(&ending);
    for (size_t i = 0; i < THREADS; i++)
        join(threads[i]);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"one", free_one},           {"few", free_few},          {"realloc", make_smaller},
    {"remote", free_elsewhere},  {"passed", free_of_thread}, {"threads", end_threads},
    {"left", free_what_is_left}, {"sum", free_together},     {"ways", free_elsewhere_of_each_way},
};

int main(int argc, char **argv)
{
    if (argc > 2)
        total = (size_t)atoi(argv[2]) * MIB;
    at_start = resident();
    for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    return 2;
}
