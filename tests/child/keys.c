/* SPDX-License-Identifier: MIT */
/*
 * All keys of a process can be had, and what a thread leaves with them is the program's.
 *
 *   keys pthread | tss | sequence     sequence: threads one after another, which allocate
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#define KEYS    PTHREAD_KEYS_MAX
#define THREADS 40

static pthread_key_t keys[KEYS];
static int destroyed;
static int wrong;

static void destroy(void *value)
{
    destroyed++;
    wrong += value != &destroyed;
}

static void *set_all(void *is_first)
{
    free(malloc(100));
    for (int i = 0; is_first && i < KEYS; i++)
        pthread_setspecific(keys[i], &destroyed);
    return is_first;
}

static void run_thread(void *argument)
{
    pthread_t thread;
    pthread_create(&thread, NULL, set_all, argument);
    pthread_join(thread, NULL);
}

static int take_all(int is_tss)
{
    int count = 0;
    run_thread(NULL);
    while (count < KEYS && (is_tss ? tss_create(&keys[count], destroy) == thrd_success
                                   : pthread_key_create(&keys[count], destroy) == 0))
        count++;
    pthread_key_t more;
    int is_end = is_tss ? tss_create(&more, destroy) != thrd_success
                        : pthread_key_create(&more, destroy) != 0;
    run_thread(keys);
    run_thread(NULL);
    printf("%d keys, %d values, %d wrong\n", count, destroyed, wrong);
    return count == KEYS && is_end && destroyed == KEYS && wrong == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "sequence") != 0)
        return take_all(strcmp(what, "tss") == 0);
    for (int i = 0; i < THREADS; i++)
        run_thread(NULL);
    return 0;
}
