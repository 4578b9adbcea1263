/* SPDX-License-Identifier: MIT */
/* Which shard is a thread's home, and what happens to the locks at fork. */
#include <pthread.h>

#include "heap.h"
#include "keys.h"
#include "record.h"

static void enter_home(struct shard *home)
{
    __atomic_fetch_add(&home->inbox.reader_count, 1, __ATOMIC_RELAXED);
}

static void leave_home(void *home)
{
    __atomic_fetch_sub(&((struct shard *)home)->inbox.reader_count, 1, __ATOMIC_RELAXED);
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
    bool has_pool = heap_is_ready(home);
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

static void prepare_fork(void)
{
    record_prepare_fork();
    for (unsigned i = 0; i < heap.shard_count; i++)
        lock_take(&heap.shards[i].lock);
    heap_is_forking = true;
    heap_set_plain_home();
}

static void end_fork(void)
{
    heap_is_forking = false;
    heap_set_plain_home();
}

static void end_fork_in_parent(void)
{
    end_fork();
    for (unsigned i = 0; i < heap.shard_count; i++)
        lock_give(&heap.shards[i].lock);
    record_end_fork();
}

/* Only the thread that forked lives on. A slot of an inbox that another one had reserved stays
 * empty for ever: the filled ones beyond it are taken all the same, and the ring begins anew. */
static void reset_inbox(struct shard *shard)
{
    struct inbox *inbox = &shard->inbox;
    for (; inbox->head != inbox->tail; inbox_drop(inbox)) {
        void *block = inbox_next(inbox);
        if (block)
            heap_release(shard, block);
    }
}

static void end_fork_in_child(void)
{
    end_fork();
    record_end_fork();
    for (unsigned i = 0; i < heap.shard_count; i++) {
        heap.shards[i].lock = (struct lock){0, 0};
        reset_inbox(&heap.shards[i]);
        heap.shards[i].inbox.reader_count = &heap.shards[i] == heap_home;
    }
}

void heap_start_threads(void)
{
    if (heap.shard_count > 1)
        keys_start(leave_home);
    pthread_atfork(prepare_fork, end_fork_in_parent, end_fork_in_child);
}
