/* SPDX-License-Identifier: MIT */
/* Which shard is a thread's home. */
#include "heap.h"
#include "keys.h"

static void enter_home(struct shard *home)
{
    __atomic_fetch_add(&home->inbox.reader_count, 1, __ATOMIC_RELAXED);
}

static void leave_home(void *home)
{
    struct shard *shard = home;
    __atomic_fetch_sub(&shard->inbox.reader_count, 1, __ATOMIC_RELAXED);
    heap_look_at_left(shard);
}

/* The first shard with the fewest threads becomes the thread's home. */
static struct shard *find_home(void)
{
    struct shard *home = &heap.shards[0];
    for (unsigned i = 1; i < heap.shard_count; i++)
        if (__atomic_load_n(&heap.shards[i].inbox.reader_count, __ATOMIC_RELAXED) <
            __atomic_load_n(&home->inbox.reader_count, __ATOMIC_RELAXED))
            home = &heap.shards[i];
    enter_home(home);
    heap_lock(home);
    bool has_pool = heap_is_ready(home, 0);
    heap_unlock(home);
    if (!has_pool) {
        leave_home(home);
        home = &heap.shards[0];
        enter_home(home);
    }
    heap_home = home;
    heap_set_plain_home();
    keys_set(home);
    return home;
}

struct shard *heap_find_home(void)
{
    if (__libc_single_threaded)
        return &heap.shards[0];
    return heap_home ? heap_home : find_home();
}

void heap_start_threads(void)
{
    if (heap.shard_count > 1)
        keys_start(leave_home);
    heap_start_fork();
}
