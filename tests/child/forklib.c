/* SPDX-License-Identifier: MIT */
/*
 * A library that is loaded with the program, registers its fork handlers before the preload
 * library does, and allocates in them: its prepare handler runs after ours, the others before.
 */
#include <pthread.h>
#include <stdlib.h>

static void *(*volatile take)(size_t size) = malloc;
static void (*volatile release)(void *block) = free;

/* Read by the program, which also makes the linker keep the library. */
int forklib_allocations;

static void allocate(void)
{
    release(take(100));
    forklib_allocations++;
}

__attribute__((constructor)) static void load(void)
{
    pthread_atfork(allocate, allocate, allocate);
}
