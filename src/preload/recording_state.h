/* SPDX-License-Identifier: MIT */
/* What record.c and live.c share. All of it is the recorder's lock's. */
#ifndef FFALLOC_PRELOAD_RECORDING_STATE_H
#define FFALLOC_PRELOAD_RECORDING_STATE_H

#include "control.h"
#include "recording.h"

struct recorder {
    bool is_open; /* what there is to open has been tried, by this process */
    bool is_off;
    bool is_gone; /* the one that reads: to be told once the lock is given */
    uint32_t process;
    uint16_t thread_count;
    struct lock lock;
    struct ring *ring;
    uint64_t *words;
    uint64_t head;
    uint64_t tail;             /* as last seen */
    struct control *control;   /* FFALLOC_LIVE; NULL: without */
    uint32_t request;          /* the last one seen there */
    uint32_t calls_to_control; /* until a forked child opens its own; 0: there is nothing to open */
};

/* Makes a ring in that folder; the recorder is off if it cannot. */
void record_open_ring(struct recorder *recorder, const char *folder);

/* Writes an event that is no call; the recorder is off if nobody makes room for it. */
void record_put(struct recorder *recorder, enum ring_op op, const void *block, size_t size);

/* Whether somebody else wants to record: then whoever did is gone. */
static inline bool live_is_asked(const struct recorder *recorder)
{
    const struct control *control = recorder->control;
    return __builtin_expect(control != NULL, 0) &&
           __atomic_load_n(&control->request, __ATOMIC_ACQUIRE) != recorder->request;
}

/* live.c: opens the control file, in each process. */
void live_open(struct recorder *recorder);

/* Whether the process's calls are to be recorded now; with FFALLOC_LIVE looks whether somebody has
 * begun to, or ended. The first time it is false: the call is among what lives. */
bool live_is_wanted(struct recorder *recorder);

void live_close(struct recorder *recorder);

#endif
