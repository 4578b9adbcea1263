/* SPDX-License-Identifier: MIT */
/*
 * A lock that takes one compare-and-swap when nobody else wants it: 0 free, 1 held, 2 held and
 * somebody sleeps for it (the three-state futex mutex of Drepper, "Futexes Are Tricky", 2011).
 * A zeroed lock is free, and a forked child may set one to 0.
 *
 * Tried and dropped: a lock that the only thread at home in a shard takes with plain loads and
 * stores, while others, before they enter, make all threads pass a barrier (membarrier(2)). Threads
 * that work for themselves gained 0 to 4 %, those that come and go lost 15 to 20 (bench/run
 * threads).
 */
#ifndef FFALLOC_PRELOAD_LOCK_H
#define FFALLOC_PRELOAD_LOCK_H

#include "os.h"

struct lock {
    unsigned state;
};

/* How often to look again before going to sleep: a call holds the lock for some 50 ns. */
#define LOCK_SPINS 100

static inline bool lock_try(struct lock *lock)
{
    unsigned expected = 0;
    return __atomic_compare_exchange_n(&lock->state, &expected, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline void lock_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

__attribute__((noinline, unused)) static void lock_contended(struct lock *lock)
{
    for (unsigned spin = 0; spin < LOCK_SPINS; spin++) {
        lock_pause();
        if (__atomic_load_n(&lock->state, __ATOMIC_RELAXED) == 0 && lock_try(lock))
            return;
    }
    while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE) != 0)
        os_wait(&lock->state, 2);
}

static inline void lock_take(struct lock *lock)
{
    if (!lock_try(lock))
        lock_contended(lock);
}

static inline void lock_give(struct lock *lock)
{
    if (__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2)
        os_wake(&lock->state);
}

/*
 * A turn is what a thread does with the lock held. Who only looks may do so without it, between
 * turn_is_none and turn_is_still: if both are true, nothing that was read in between was written
 * meanwhile. (A sequence lock; the fences are those of Boehm, "Can Seqlocks Get Along with
 * Programming Language Memory Models?", 2012. tests/turn.pml is a model of it for spin.)
 */
static inline void turn_begin(unsigned *turn)
{
    __atomic_store_n(turn, *turn + 1, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Whether no turn is under way; sets `now`. */
static inline bool turn_is_none(const struct lock *lock, const unsigned *turn, unsigned *now)
{
    *now = __atomic_load_n(turn, __ATOMIC_ACQUIRE);
    return __atomic_load_n(&lock->state, __ATOMIC_ACQUIRE) == 0;
}

/* Whether none has begun since. */
static inline bool turn_is_still(const unsigned *turn, unsigned now)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(turn, __ATOMIC_RELAXED) == now;
}

#endif
