/* SPDX-License-Identifier: MIT */
#include "quarantine.h"

#include "heap.h"

static bool has_ring(struct quarantine *quarantine, size_t count_most)
{
    if (quarantine->ring)
        return true;
    size_t page_mask = heap.page_size - 1;
    size_t size = (count_most * sizeof *quarantine->ring + page_mask) & ~page_mask;
    void *ring = os_hold(size);
    if (!ring)
        return false;
    if (!os_allow(ring, size)) {
        os_release(ring, size);
        return false;
    }
    quarantine->ring = ring;
    quarantine->capacity = count_most;
    return true;
}

bool quarantine_add(struct quarantine *quarantine, size_t count_most, struct waiting waiting,
                    size_t usable)
{
    if (!has_ring(quarantine, count_most) || quarantine->count == quarantine->capacity)
        return false;
    *quarantine_at(quarantine, quarantine->count) = waiting;
    quarantine->count++;
    quarantine->size += usable;
    return true;
}

struct waiting quarantine_take(struct quarantine *quarantine)
{
    struct waiting waiting = quarantine->ring[quarantine->first];
    quarantine->first = quarantine->first + 1 < quarantine->capacity ? quarantine->first + 1 : 0;
    quarantine->count--;
    return waiting;
}

struct waiting *quarantine_find(const struct quarantine *quarantine, const unsigned char *block)
{
    for (size_t i = 0; i < quarantine->count; i++)
        if (quarantine_at(quarantine, i)->block == block)
            return quarantine_at(quarantine, i);
    return NULL;
}
