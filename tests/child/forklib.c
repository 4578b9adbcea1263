/* SPDX-License-Identifier: MIT */
/*
 * A library that is loaded with the program and registers its fork handlers as the first of all.
 * They allocate, and take a lock under which the program allocates, too.
 */
#include <pthread.h>
#include <stdlib.h>

static void *(*volatile take)(size_t size) = malloc;
static void (*volatile release)(void *block) = free;

/* Used by the program, which also makes the linker keep the library. */
int forklib_allocations;
pthread_mutex_t forklib_lock = PTHREAD_MUTEX_INITIALIZER;

static void allocate(void)
{
    release(take(100));
    forklib_allocations++;
}

static void lock(void)
{
    allocate();
    pthread_mutex_lock(&forklib_lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&forklib_lock);
    allocate();
}

__attribute__((constructor)) static void load(void)
{
    pthread_atfork(lock, unlock, unlock);
}
