/* SPDX-License-Identifier: MIT */
/* Threads are cancelled in the middle of calls that say something: no lock is left behind. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define THREADS 300

static volatile size_t huge = SIZE_MAX / 4;
static void *volatile wrong = (void *)0x1000;

static void *call_on(void *none)
{
    for (;;) {
        free(malloc(100));
        free(malloc(huge));
        free(wrong);
        pthread_testcancel();
    }
    return none;
}

/* As many events as a recorder's ring has room for, and more: it waits for a reader. */
static void *fill_ring(void *none)
{
    for (int i = 0; i < 200000; i++)
        free(malloc(8));
    return none;
}

/* While there is another thread, all locks are taken. */
static void *stay(void *none)
{
    pause();
    return none;
}

static void cancel_after(void *(*function)(void *), long seconds, long nanoseconds)
{
    pthread_t thread;
    struct timespec time = {seconds, nanoseconds};
    if (pthread_create(&thread, NULL, function, NULL) != 0)
        exit(1);
    nanosleep(&time, NULL);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    for (int k = 0; k < 10; k++)
        free(malloc((size_t)k * 50));
}

int main(int argc, char **argv)
{
    pthread_t other;
    (void)argv;
    alarm(30);
    if (pthread_create(&other, NULL, stay, NULL) != 0)
        return 1;
    cancel_after(stay, 0, 1000); /* the first loads what unwinds, by malloc */
    if (argc > 1)
        cancel_after(fill_ring, 1, 0);
    for (int i = 0; i < THREADS; i++)
        cancel_after(call_on, 0, 20000 + i % 50 * 2000);
    return 0;
}
