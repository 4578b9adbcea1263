/* SPDX-License-Identifier: MIT */
/*
 * One thread allocates within its dl_iterate_phdr, with the loader's lock; another is just then
 * about to be unwound, which takes that lock. What unwinds is our own, in the place of
 * libffalloc-unwind.so's, so that they meet each time.
 */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum stage { START, LOADER_LOCKED, UNWINDING, UNWOUND };

static _Atomic enum stage stage;
static _Thread_local bool is_to_meet;

static void wait_for(enum stage least)
{
    while (stage < least)
        usleep(100);
}

static int look(struct dl_phdr_info *info, size_t size, void *none)
{
    (void)info;
    (void)size;
    (void)none;
    return 1; /* one object is enough */
}

__attribute__((visibility("default"))) int ffalloc_unwind(void **frames, int count)
{
    (void)frames;
    (void)count;
    if (is_to_meet) {
        is_to_meet = false;
        stage = UNWINDING;
        dl_iterate_phdr(look, NULL);
        stage = UNWOUND;
    }
    return 0;
}

static int allocate(struct dl_phdr_info *info, size_t size, void *none)
{
    stage = LOADER_LOCKED;
    wait_for(UNWINDING);
    free(malloc(100));
    return look(info, size, none);
}

static void *meet(void *none)
{
    wait_for(LOADER_LOCKED);
    is_to_meet = true;
    free(malloc(200));
    return none;
}

int main(void)
{
    pthread_t thread;
    alarm(10);
    if (pthread_create(&thread, NULL, meet, NULL) != 0)
        return 1;
    dl_iterate_phdr(allocate, NULL);
    pthread_join(thread, NULL);
    return stage == UNWOUND ? 0 : 2;
}
