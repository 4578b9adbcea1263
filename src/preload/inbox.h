/* SPDX-License-Identifier: MIT */
/*
 * Blocks that other threads freed, on their way to the shard that owns them.
 *
 * A free by another thread than those at home in a shard would drag the shard's metadata from one
 * processor's cache to the other's, call by call. Instead the pointer waits here, and whoever
 * next locks the shard frees it first: a free that happened before a request is carried out before
 * it, as without an inbox, and is checked as every free is. When the inbox is full the caller takes
 * the lock itself, so at most INBOX_SLOTS blocks ever wait.
 *
 * A bounded ring, any number of writers without a lock, one reader under the shard's lock. A writer
 * reserves a slot by moving `tail` and then fills it; the reader takes filled slots in order and
 * empties them before it moves `head`. Writers look at `head`, which changes with each block taken,
 * only when the ring seems full by what one of them saw of it before. tests/inbox.pml is a model of
 * it for spin. (The ring is Vyukov's bounded queue, 2010, where an empty slot serves as its
 * sequence number.)
 */
#ifndef FFALLOC_PRELOAD_INBOX_H
#define FFALLOC_PRELOAD_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INBOX_SLOTS 128

struct inbox {
    void *slots[INBOX_SLOTS]; /* NULL: empty, or reserved and not yet filled */
    __attribute__((aligned(64))) size_t head;
    __attribute__((aligned(64))) size_t tail;
    size_t head_seen;      /* what a writer has read of head, which is no lower now */
    unsigned reader_count; /* threads at home here; without one nobody would look soon */
};

/* Whether there is room for a block at `tail`, by the reader's own word. */
static inline bool inbox_look(struct inbox *inbox, size_t tail)
{
    size_t head = __atomic_load_n(&inbox->head, __ATOMIC_ACQUIRE);
    __atomic_store_n(&inbox->head_seen, head, __ATOMIC_RELEASE);
    return tail - head < INBOX_SLOTS;
}

/* Leaves a block for the reader; false, with nothing done, if and only if there is no room. */
static inline bool inbox_put(struct inbox *inbox, void *block)
{
    size_t tail = __atomic_load_n(&inbox->tail, __ATOMIC_RELAXED);
    do {
        size_t head_seen = __atomic_load_n(&inbox->head_seen, __ATOMIC_ACQUIRE);
        if (tail - head_seen >= INBOX_SLOTS && !inbox_look(inbox, tail))
            return false;
    } while (!__atomic_compare_exchange_n(&inbox->tail, &tail, tail + 1, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    __atomic_store_n(&inbox->slots[tail % INBOX_SLOTS], block, __ATOMIC_RELEASE);
    return true;
}

/* The next block, NULL if there is none: whether it is worth while to take. */
static inline void *inbox_next(const struct inbox *inbox)
{
    size_t head = __atomic_load_n(&inbox->head, __ATOMIC_RELAXED);
    return __atomic_load_n(&inbox->slots[head % INBOX_SLOTS], __ATOMIC_ACQUIRE);
}

/* Takes the block that inbox_next returned out of the inbox. */
static inline void inbox_drop(struct inbox *inbox)
{
    __atomic_store_n(&inbox->slots[inbox->head % INBOX_SLOTS], NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&inbox->head, inbox->head + 1, __ATOMIC_RELEASE);
}

/* In a forked child, where the other threads are gone: takes the next block out, over slots that
 * one of them had reserved and never fills. NULL when there is none left, and no such slot. */
static inline void *inbox_salvage(struct inbox *inbox)
{
    void *block = NULL;
    while (!block && inbox->head != inbox->tail) {
        block = inbox_next(inbox);
        inbox_drop(inbox);
    }
    return block;
}

#endif
