/* SPDX-License-Identifier: MIT */
/*
 * fork in a process with several threads: the child has but one of them, and must find every pool
 * as it is between two calls. So fork takes what follows, in this order, and gives it back after.
 *
 *   1. What the fork handlers of the program and its libraries take. They run before ours, as ours
 *      are the first to be registered: whoever registers one comes by here.
 *   2. libc's list of streams. fflush(NULL) holds it while it waits for one stream after the other,
 *      and who holds a stream may allocate. (libc's fork takes it too, after all handlers and
 * before the locks of libc's own malloc; it may be taken twice.)
 *   3. The lock that whoever registers a handler holds. libc allocates with its own lock of the
 *      list of handlers held (for the 49th and some later ones), and takes that lock again between
 *      our handler, the last, and the fork.
 *   4. The recorder's lock.
 *   5. The lock of sampled blocks, with which held nobody waits for anything.
 *   6. The locks of the pools.
 *
 * None of them is ever waited for in vain. A thread that holds a pool's lock waits for nothing, and
 * one that holds the recorder's for a pool, or for a while for the recorder: they call nothing that
 * takes a lock, and messages are written with no lock held. So who waits for 4 to 6 goes on, also
 * one that holds 1, 2 or 3; and the one that forks waits for 1, 2 and 3 before it holds anything of
 * ours that others wait for.
 *
 * (Before its own malloc's locks libc waits, shortly, for up to two more of its own that cannot be
 * had from outside. The one of nsswitch.conf is held by nobody who allocates. The one of popen's
 * streams, for which fork does not wait in glibc 2.36 but in versions after 2.40, is held by a
 * popen that allocates where eight other streams are open: a fork at this very moment may hang.)
 *
 * With one thread nothing is taken: it may be fork, in a signal handler, that fork is called in.
 */
#include "libc.h"
#include "next.h"
#include "recording.h"

static bool is_held; /* written only with all locks held, and in a child */
static struct lock registering;

static void prepare(void)
{
    if (__libc_single_threaded || heap.shard_count == 0)
        return;
    if (_IO_list_lock)
        _IO_list_lock();
    lock_take(&registering);
    record_prepare_fork();
    sample_prepare_fork();
    for (unsigned i = 0; i < heap.shard_count; i++)
        heap_take(&heap.shards[i]);
    is_held = true;
}

static void end_in_parent(void)
{
    if (!is_held)
        return;
    is_held = false;
    for (unsigned i = 0; i < heap.shard_count; i++)
        lock_give(&heap.shards[i].lock);
    sample_end_fork();
    record_end_fork();
    lock_give(&registering);
    if (_IO_list_unlock)
        _IO_list_unlock();
}

/* Only the thread that forked lives on: it is at home in one shard, nobody in the others. */
static void end_in_child(void)
{
    if (!is_held)
        return;
    is_held = false;
    if (_IO_list_resetlock)
        _IO_list_resetlock();
    registering = (struct lock){0, 0};
    sample_end_fork();
    record_end_fork();
    for (unsigned i = 0; i < heap.shard_count; i++) {
        struct shard *shard = &heap.shards[i];
        void *block;
        shard->lock = (struct lock){0, 0};
        while ((block = inbox_salvage(&shard->inbox)) != NULL) {
            ffalloc_free(shard->pool, block);
            heap_note_freed(shard);
        }
        shard->inbox.reader_count = shard == heap_home;
    }
}

static int register_next(void (*before)(void), void (*in_parent)(void), void (*in_child)(void),
                         void *library)
{
    static void *next;
    int (*function)(void (*)(void), void (*)(void), void (*)(void), void *) =
        (int (*)(void (*)(void), void (*)(void), void (*)(void), void *))next_function(
            &next, "__register_atfork");
    return function(before, in_parent, in_child, library);
}

void heap_start_fork(void)
{
    static bool is_registered;
    if (!__atomic_exchange_n(&is_registered, true, __ATOMIC_RELAXED))
        register_next(prepare, end_in_parent, end_in_child, NULL);
}

/* What pthread_atfork calls, which is a part of each program and library that uses it. */
int __register_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void),
                      void *library);
EXPORT int __register_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void),
                             void *library)
{
    heap_start_fork();
    lock_take(&registering);
    int error = register_next(before, in_parent, in_child, library);
    lock_give(&registering);
    return error;
}
