/* SPDX-License-Identifier: MIT */
/*
 * The lock of the preload library where threads do sleep for it: each holds it for longer than the
 * others look again. A wake-up that is lost shows as a test that does not end, or, compiled with
 * LOCK_WITHOUT_BARRIER, as for a system that has none, as one that takes long.
 */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../src/preload/os.h"

#if LOCK_WITHOUT_BARRIER
#define os_barrier no_barrier

static bool no_barrier(void)
{
    return false;
}
#endif

#include "../src/preload/lock.h"

#define THREADS     4
#define ROUNDS      20000
#define ROUNDS_HELD 64 /* one in so many rounds the lock is held for long */
#define HELD_US     300

static struct lock lock;
static unsigned long round_count; /* under the lock */
static unsigned long sleep_count;

static void *work(void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        lock_take(&lock);
        round_count++;
        if (round_count % ROUNDS_HELD == 0)
            usleep(HELD_US);
        lock_give(&lock);
    }
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    lock_take(&lock);
    sleep_count += (unsigned long)usage.ru_nvcsw;
    lock_give(&lock);
    return NULL;
}

int main(void)
{
    os_prepare_barrier();
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, NULL))
            return 2;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* Those that held it slept this often; the rest slept for it. */
    unsigned long held_count = THREADS * ROUNDS / ROUNDS_HELD;
    printf("%lu rounds, %lu sleeps, %lu of them with the lock held\n", round_count, sleep_count,
           held_count);
    return round_count != THREADS * ROUNDS || sleep_count <= held_count || lock.state != 0;
}
