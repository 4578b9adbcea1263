/* SPDX-License-Identifier: MIT */
/*
 * Which blocks of other threads are large.
 *
 * A small block that another thread frees waits in an inbox, a large one must not, and to look at
 * its size in the map of its pool would take a line of it away from the thread that is at home
 * there: twice the time of such a free. So the start of each large block is noted apart, where
 * nobody writes but who places one: the space of addresses is cut into windows as long as the
 * smallest large block, in each of which at most one can start, and two bytes a window say where
 * the last one did. A free of a small block clears nothing; a note that outlived its block is met
 * by the next one that starts at the very same place, which does not wait then, and clears it.
 */
#ifndef FFALLOC_PRELOAD_NOTES_H
#define FFALLOC_PRELOAD_NOTES_H

#include "core_choices.h"
#include "os.h"

/* The notes of so many bytes of addresses are mapped when the first large block lies there. */
#define NOTED_LOG2 30
#define NOTES      ((size_t)1 << (NOTED_LOG2 - LEAST_LARGE_LOG2))
#define NOTED_MOST ((size_t)1 << (sizeof(size_t) == 8 ? 42 - NOTED_LOG2 : 32 - NOTED_LOG2))

struct large {
    uint16_t *notes[NOTED_MOST]; /* NULL: no large block was there yet */
};

/* Where a block starts in its window, in 8 bytes, and one: 0 says that none does. */
static inline uint16_t large_note(size_t offset)
{
    return (uint16_t)(1 + offset % LEAST_LARGE / 8);
}

/* Where it stands whether a large block starts at an offset; NULL if none ever did near it. */
static inline uint16_t *large_place(const struct large *large, size_t offset)
{
    if (offset >> NOTED_LOG2 >= NOTED_MOST)
        return NULL;
    uint16_t *notes = __atomic_load_n(&large->notes[offset >> NOTED_LOG2], __ATOMIC_ACQUIRE);
    return notes ? &notes[offset >> LEAST_LARGE_LOG2 & (NOTES - 1)] : NULL;
}

/* Whether a block at an offset may be large. */
static inline bool large_has(const struct large *large, size_t offset)
{
    const uint16_t *place = large_place(large, offset);
    return place && __atomic_load_n(place, __ATOMIC_RELAXED) == large_note(offset);
}

/* Its block is gone. */
static inline void large_drop(struct large *large, size_t offset)
{
    uint16_t *place = large_place(large, offset);
    if (place && __atomic_load_n(place, __ATOMIC_RELAXED) == large_note(offset))
        __atomic_store_n(place, 0, __ATOMIC_RELAXED);
}

/* A large block was placed at an offset. Where the notes cannot be mapped it may wait. */
static inline void large_add(struct large *large, size_t offset)
{
    if (offset >> NOTED_LOG2 >= NOTED_MOST)
        return;
    uint16_t **notes = &large->notes[offset >> NOTED_LOG2];
    uint16_t *expected = NULL;
    if (!__atomic_load_n(notes, __ATOMIC_ACQUIRE)) {
        size_t size = NOTES * sizeof **notes;
        void *mapped = os_hold(size);
        if (!mapped)
            return;
        if (!os_allow(mapped, size) ||
            !__atomic_compare_exchange_n(notes, &expected, mapped, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            os_release(mapped, size); /* another thread was first */
    }
    uint16_t *place = large_place(large, offset);
    if (place)
        __atomic_store_n(place, large_note(offset), __ATOMIC_RELAXED);
}

#endif
