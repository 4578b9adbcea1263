/* SPDX-License-Identifier: MIT */
/*
 * A lock that takes one compare-and-swap when nobody else wants it, and gives it back with a plain
 * store. A zeroed lock is free, and a forked child may zero one.
 *
 * Who gives the lock back then looks whether somebody sleeps for it, and may look before others see
 * the store: then it wakes nobody, and whoever sleeps finds the lock free a millisecond later.
 * tests/lock.pml is a model of it for spin, stores that wait in a processor's buffer included. (The
 * three-state futex mutex of Drepper, "Futexes Are Tricky", 2011, gives back with an exchange:
 * redis's trace, with a second thread that sleeps, took 22.5 ns a call and now takes 19.7.)
 *
 * Tried and dropped: before it sleeps, a thread makes all others pass a barrier (membarrier(2)), so
 * that no wake-up is lost. It interrupts every thread for the sake of a rare millisecond: 16
 * threads on one pool made 5.0 and 6.8 million calls a second with it, 8.7 and 10.9 without; no
 * other load of bench/run threads differed by more than the noise. And it ends a process whose
 * seccomp filter does not know it.
 *
 * Tried and dropped: a lock that the only thread at home in a shard takes, too, with plain loads
 * and stores, while others, before they enter, make all threads pass a barrier. Threads that work
 * for themselves gained 0 to 4 %, those that come and go lost 15 to 20 (bench/run threads).
 */
#ifndef FFALLOC_PRELOAD_LOCK_H
#define FFALLOC_PRELOAD_LOCK_H

#include "os.h"

struct lock {
    unsigned state;    /* 1: held */
    unsigned sleepers; /* 1: somebody may sleep, or is about to; they sleep on this word */
};

/*
 * Of a thread that waits, between one look and the next, before it goes to sleep: each time twice
 * as many. A call holds the lock for some 50 ns, and each look takes its cache line away. (Two
 * threads on one pool made 5.9 million calls a second with 100 looks, a pause between them, and 9.1
 * with these; 7.2 with at most 512 pauses.)
 */
#define LOCK_PAUSES 1024

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
#elif defined(__aarch64__)
    __asm__ volatile("isb" : : : "memory"); /* yield does nothing on most */
#else
    __asm__ volatile("" : : : "memory");
#endif
}

__attribute__((noinline, unused)) static void lock_contended(struct lock *lock)
{
    for (unsigned pauses = 1; pauses <= LOCK_PAUSES; pauses *= 2) {
        for (unsigned i = 0; i < pauses; i++)
            lock_pause();
        if (__atomic_load_n(&lock->state, __ATOMIC_RELAXED) == 0 && lock_try(lock))
            return;
    }
    __atomic_store_n(&lock->sleepers, 1, __ATOMIC_RELAXED);
    while (!lock_try(lock)) { /* then its own lock_give wakes another, if there is one */
        os_wait(&lock->sleepers, 1);
        __atomic_store_n(&lock->sleepers, 1, __ATOMIC_RELAXED);
    }
}

static inline void lock_take(struct lock *lock)
{
    if (!lock_try(lock))
        lock_contended(lock);
}

__attribute__((noinline, unused)) static void lock_wake(struct lock *lock)
{
    if (__atomic_exchange_n(&lock->sleepers, 0, __ATOMIC_RELAXED))
        os_wake(&lock->sleepers);
}

static inline void lock_give(struct lock *lock)
{
    __atomic_store_n(&lock->state, 0, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&lock->sleepers, __ATOMIC_RELAXED) != 0, 0))
        lock_wake(lock);
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
