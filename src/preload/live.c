/* SPDX-License-Identifier: MIT */
/*
 * Recording that begins in the middle of a process: when the program says so (ffalloc/record.h), or
 * `ffalloc record --pid` asks for it in the control file. What lives then is told block by block,
 * with the recorder's lock held: each call of the allocator takes that first, so the pools are
 * still. It takes no other lock.
 */
#include <stdio.h>
#include <string.h>

#include "ffalloc/record.h"
#include "recording_state.h"

/* Of a child that forks off and soon ends by _exit nothing is to stay in /dev/shm. */
#define CALLS_OF_A_CHILD 1000

/* Of the process, and its children. */
static bool is_stopped;

static bool tell_block(void *context, const struct ffalloc_block *block)
{
    struct recorder *recorder = context;
    struct ffalloc_block told = *block;
    bool is_waiting = guards_read(&told); /* it is free to the program */
    size_t mask = heap.options.granule - 1;
    if (told.is_used && !is_waiting)
        record_put(recorder, RING_LIVE, told.address, (told.size + !told.size + mask) & ~mask);
    return !recorder->is_off;
}

static void tell_what_lives(struct recorder *recorder)
{
    for (unsigned i = 0; i < heap.shard_count && !recorder->is_off; i++)
        if (heap.shards[i].pool)
            ffalloc_walk(heap.shards[i].pool, tell_block, recorder);
    if (!recorder->is_off)
        record_put(recorder, RING_READY, NULL, 0);
}

static void control_path(char *path, size_t size, uint32_t process)
{
    snprintf(path, size, CONTROL_PATH, process);
}

static void open_control(struct recorder *recorder)
{
    char path[60];
    recorder->process = os_process_id();
    recorder->calls_to_control = 0;
    control_path(path, sizeof path, recorder->process);
    os_remove(path); /* of a process that had the number before */
    recorder->control = os_share(path, CONTROL_SIZE);
    if (!recorder->control) {
        heap_message("FFALLOC_LIVE: %s cannot be made: nothing can be recorded", path);
        return;
    }
    recorder->control->process = recorder->process;
    memcpy(recorder->control->magic, CONTROL_MAGIC, sizeof recorder->control->magic);
}

void live_open(struct recorder *recorder)
{
    static bool is_child;
    bool is_first = !is_child;
    is_child = true;
    is_stopped = is_first ? heap.options.is_paused : is_stopped;
    if (!heap.options.is_live)
        return;
    recorder->is_open = recorder->is_off = true;
    recorder->calls_to_control = CALLS_OF_A_CHILD;
    if (is_first)
        open_control(recorder);
}

/* Who recorded has ended, or is gone: the next one may begin. */
static void leave_ring(struct recorder *recorder)
{
    os_release(recorder->ring, RING_DATA_OFF + RING_WORDS * sizeof(uint64_t));
    recorder->ring = NULL;
    recorder->is_off = true;
}

static void begin(struct recorder *recorder)
{
    struct control *control = recorder->control;
    char folder[sizeof control->folder];
    recorder->request = __atomic_load_n(&control->request, __ATOMIC_ACQUIRE);
    memcpy(folder, control->folder, sizeof folder - 1);
    folder[sizeof folder - 1] = '\0';
    heap.options.backtrace =
        control->backtrace == BACKTRACE_FRAMES ? BACKTRACE_FRAMES : BACKTRACE_CALLER;
    recorder->is_off = false;
    recorder->head = recorder->tail = 0;
    record_open_ring(recorder, folder);
    if (!recorder->is_off)
        tell_what_lives(recorder);
    else
        __atomic_store_n(&control->refused, recorder->request, __ATOMIC_RELEASE);
}

bool live_is_wanted(struct recorder *recorder)
{
    if (__builtin_expect(!recorder->control, 1)) {
        if (recorder->calls_to_control > 0 && --recorder->calls_to_control == 0)
            open_control(recorder);
        return !is_stopped;
    }
    if (recorder->ring &&
        (recorder->is_off || __atomic_load_n(&recorder->ring->is_unwanted, __ATOMIC_RELAXED)))
        leave_ring(recorder);
    if (!live_is_asked(recorder))
        return !is_stopped;
    if (recorder->ring)
        leave_ring(recorder);
    begin(recorder);
    return false;
}

void live_close(struct recorder *recorder)
{
    char path[60];
    control_path(path, sizeof path, recorder->process);
    if (recorder->control)
        os_remove(path);
}

EXPORT void ffalloc_recording_stop(void)
{
    if (!heap.recorder)
        return;
    record_lock();
    is_stopped = true;
    record_unlock();
}

EXPORT void ffalloc_recording_start(void)
{
    struct recorder *recorder = heap.recorder;
    if (!recorder)
        return;
    record_lock();
    if (is_stopped && recorder->ring && !recorder->is_off)
        tell_what_lives(recorder);
    is_stopped = false;
    record_unlock();
}
