/* SPDX-License-Identifier: MIT */
#include "keys.h"

#include <pthread.h>
#include <threads.h>

#include "next.h"

static pthread_key_t exit_key;
static bool is_ours;

void keys_start(void (*at_exit)(void *value))
{
    is_ours = pthread_key_create(&exit_key, at_exit) == 0;
}

/* The key may be given away meanwhile, and then be another's. */
void keys_set(void *value)
{
    if (!__atomic_load_n(&is_ours, __ATOMIC_SEQ_CST))
        return;
    pthread_setspecific(exit_key, value);
    if (!__atomic_load_n(&is_ours, __ATOMIC_SEQ_CST))
        pthread_setspecific(exit_key, NULL);
}

static bool is_given_away(void)
{
    return __atomic_exchange_n(&is_ours, false, __ATOMIC_SEQ_CST) &&
           pthread_key_delete(exit_key) == 0;
}

/* By the real function of this name, which returns 0 if it could. */
static int create(void **next, const char *name, unsigned *key, void (*destroy)(void *value))
{
    int (*create_next)(unsigned *, void (*)(void *)) =
        (int (*)(unsigned *, void (*)(void *)))next_function(next, name);
    int error = create_next(key, destroy);
    return error != 0 && is_given_away() ? create_next(key, destroy) : error;
}

EXPORT int pthread_key_create(pthread_key_t *key, void (*destroy)(void *value))
{
    static void *next;
    return create(&next, "pthread_key_create", key, destroy);
}

/* The name by which libgcc calls it. */
int __pthread_key_create(pthread_key_t *key, void (*destroy)(void *value));
EXPORT int __pthread_key_create(pthread_key_t *key, void (*destroy)(void *value))
{
    static void *next;
    return create(&next, "__pthread_key_create", key, destroy);
}

EXPORT int tss_create(tss_t *key, tss_dtor_t destroy)
{
    static void *next;
    return create(&next, "tss_create", key, destroy);
}
