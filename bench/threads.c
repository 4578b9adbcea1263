/* SPDX-License-Identifier: MIT */
/*
 * Loads of several threads on malloc and free; prints millions of calls a second, all threads
 * together.
 *
 *   threads MODE THREADS SECONDS
 *
 *   independent        each thread replaces random blocks of its own
 *   server             the same, and each thread hands its blocks to a successor and ends now and
 *                      then (the load of Larson and Krishnan, "Memory Allocation for Long-Running
 *                      Server Applications", 1998): blocks are freed by threads that did not
 *                      allocate them
 *   pipeline           pairs of threads: one allocates and writes, the other reads and frees
 *   pipeline-apart     the same, those that allocate on one core and those that free on another
 *   pipeline-together  the same, both threads of a pair on one core
 *   pipeline-large     pipeline-apart, where those that allocate have had a block of 128 KiB before
 *   short-lived        threads that make 2000 calls each come and go
 */
#define _GNU_SOURCE /* CPU_SET */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS       1000u
#define GENERATION  100000u /* calls of a server thread's life */
#define SHORT_LIFE  2000u
#define RING        1024u
#define THREAD_MOST 64u

struct worker {
    pthread_t thread;
    uint64_t seed;
    _Atomic uint64_t call_count;
    void *slots[SLOTS];
    /* pipeline: filled by this worker, emptied by the next one */
    _Atomic size_t head;
    char apart[64];
    _Atomic size_t tail;
    void *_Atomic ring[RING];
};

static struct worker workers[THREAD_MOST];
static atomic_bool is_over;

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Mostly small, as programs are: 8 to 512 bytes, one in 64 up to 8 KiB. */
static size_t draw_size(uint64_t *seed)
{
    uint64_t bits = draw(seed);
    return 8 + (bits % 64 == 0 ? (bits >> 8) % 8192 : (bits >> 8) % 504);
}

static void *make(struct worker *worker)
{
    size_t size = draw_size(&worker->seed);
    unsigned char *block = malloc(size);
    if (!block) {
        fputs("threads: out of memory\n", stderr);
        exit(1);
    }
    block[0] = 1;
    block[size - 1] = 1;
    return block;
}

/* Replaces blocks in random slots: two calls each. */
static void replace(struct worker *worker, unsigned calls)
{
    for (unsigned i = 0; i < calls; i += 2) {
        void **slot = &worker->slots[draw(&worker->seed) % SLOTS];
        free(*slot);
        *slot = make(worker);
    }
    atomic_fetch_add_explicit(&worker->call_count, calls, memory_order_relaxed);
}

static void free_slots(struct worker *worker)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        free(worker->slots[i]);
        worker->slots[i] = NULL;
    }
}

static void *work_independently(void *argument)
{
    struct worker *worker = argument;
    while (!is_over)
        replace(worker, 1000);
    free_slots(worker);
    return NULL;
}

static void *serve(void *argument)
{
    struct worker *worker = argument;
    for (unsigned calls = 0; calls < GENERATION && !is_over; calls += 1000)
        replace(worker, 1000);
    return NULL;
}

static void *live_shortly(void *argument)
{
    struct worker *worker = argument;
    replace(worker, SHORT_LIFE);
    free_slots(worker);
    return NULL;
}

/* Runs `life` again and again, each time in a new thread. */
static void *keep_alive(struct worker *worker, void *(*life)(void *))
{
    while (!is_over) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, life, worker))
            abort();
        pthread_join(thread, NULL);
    }
    free_slots(worker);
    return NULL;
}

static void *keep_server(void *worker)
{
    return keep_alive(worker, serve);
}

static void *keep_short_lived(void *worker)
{
    return keep_alive(worker, live_shortly);
}

static void *produce(void *argument)
{
    struct worker *worker = argument;
    size_t head = 0;
    while (!is_over) {
        while (head - atomic_load_explicit(&worker->tail, memory_order_acquire) == RING) {
            if (is_over)
                return NULL;
            sched_yield();
        }
        worker->ring[head % RING] = make(worker);
        atomic_store_explicit(&worker->head, ++head, memory_order_release);
    }
    return NULL;
}

#define LARGE (128u << 10)

static void *produce_after_large(void *argument)
{
    unsigned char *large = malloc(LARGE);
    if (!large)
        abort();
    large[0] = 1;
    produce(argument);
    free(large);
    return NULL;
}

static void *consume(void *argument)
{
    struct worker *worker = argument;
    struct worker *source = worker - 1;
    size_t tail = 0;
    for (;;) {
        size_t head = atomic_load_explicit(&source->head, memory_order_acquire);
        if (head == tail) {
            if (is_over)
                return NULL;
            sched_yield();
            continue;
        }
        atomic_fetch_add_explicit(&worker->call_count, 2 * (head - tail), memory_order_relaxed);
        for (; tail != head; tail++)
            free(source->ring[tail % RING]);
        atomic_store_explicit(&source->tail, tail, memory_order_release);
    }
}

enum placement { ANYWHERE, APART, TOGETHER };

static void start(struct worker *worker, enum placement placement, void *(*work)(void *))
{
    unsigned number = (unsigned)(worker - workers);
    unsigned second = placement == APART ? number % 2 : number / 2 % 2;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (placement != ANYWHERE) {
        cpu_set_t cores;
        if (sched_getaffinity(0, sizeof cores, &cores) || CPU_COUNT(&cores) < 2) {
            fputs("threads: there is but one core\n", stderr);
            exit(1);
        }
        int core = 0;
        while (!CPU_ISSET(core, &cores) || second-- > 0)
            core++;
        CPU_ZERO(&cores);
        CPU_SET(core, &cores);
        pthread_attr_setaffinity_np(&attributes, sizeof cores, &cores);
    }
    if (pthread_create(&worker->thread, &attributes, work, worker))
        abort();
    pthread_attr_destroy(&attributes);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void nap(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (long)seconds) * 1e9)}, NULL);
}

static uint64_t calls_so_far(unsigned count)
{
    uint64_t calls = 0;
    for (unsigned i = 0; i < count; i++)
        calls += workers[i].call_count;
    return calls;
}

/* For so many seconds, and as often longer as none of the threads has come to a call. */
int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum placement placement;
        void *(*even)(void *);
        void *(*odd)(void *);
    } modes[] = {{"independent", ANYWHERE, work_independently, work_independently},
                 {"server", ANYWHERE, keep_server, keep_server},
                 {"pipeline", ANYWHERE, produce, consume},
                 {"pipeline-apart", APART, produce, consume},
                 {"pipeline-together", TOGETHER, produce, consume},
                 {"pipeline-large", APART, produce_after_large, consume},
                 {"short-lived", ANYWHERE, keep_short_lived, keep_short_lived}};
    unsigned count = argc == 4 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    double seconds = argc == 4 ? strtod(argv[3], NULL) : 0;
    for (unsigned mode = 0;
         count > 0 && count <= THREAD_MOST && mode < sizeof modes / sizeof *modes; mode++) {
        if (strcmp(argv[1], modes[mode].name) != 0)
            continue;
        for (unsigned i = 0; i < count; i++)
            workers[i].seed = 88172645463325252u + i * 1234567u;
        double begin = now();
        for (unsigned i = 0; i < count; i++)
            start(&workers[i], modes[mode].placement, i % 2 ? modes[mode].odd : modes[mode].even);
        uint64_t calls;
        do
            nap(seconds);
        while ((calls = calls_so_far(count)) == 0);
        double taken = now() - begin;
        is_over = true;
        for (unsigned i = 0; i < count; i++)
            pthread_join(workers[i].thread, NULL);
        printf("%.6f\n", (double)calls / taken * 1e-6);
        return 0;
    }
    fputs("usage: threads MODE THREADS SECONDS (threads.c has the modes)\n", stderr);
    return 2;
}
