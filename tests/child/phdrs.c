/* SPDX-License-Identifier: MIT */
/* One thread allocates while it holds the loader's lock, another while it holds none. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CALLS 4000

static int allocate(struct dl_phdr_info *info, size_t size, void *none)
{
    (void)info;
    (void)size;
    (void)none;
    free(malloc(100));
    return 1; /* one object is enough */
}

static void *iterate(void *none)
{
    for (int i = 0; i < CALLS; i++)
        dl_iterate_phdr(allocate, NULL);
    return none;
}

int main(void)
{
    pthread_t thread;
    alarm(10);
    if (pthread_create(&thread, NULL, iterate, NULL) != 0)
        return 1;
    for (int i = 0; i < CALLS; i++)
        free(malloc(200));
    return pthread_join(thread, NULL);
}
