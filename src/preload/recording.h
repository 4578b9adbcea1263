/* SPDX-License-Identifier: MIT */
/*
 * FFALLOC_RECORD: every call is written to a ring that `ffalloc record` reads. The calls of all
 * threads then take one lock, so that the events stand in the order in which they took effect;
 * where blocks are placed is not changed by it.
 */
#ifndef FFALLOC_PRELOAD_RECORDING_H
#define FFALLOC_PRELOAD_RECORDING_H

#include "heap.h"
#include "ring.h"

/* From where a call was made: the return address, and the frame in which that lies, whose first
 * word is the caller's frame pointer (NULL: not known). */
struct caller {
    void *site;
    void **frame;
};

/* In an exported function, or one that such a function ends with: then the compiler has given
 * the caller's frame pointer back. */
#define CALLER      ((struct caller){__builtin_return_address(0), __builtin_frame_address(0)})
#define CALLER_SITE ((struct caller){__builtin_return_address(0), NULL})

/* sample.c: the thread's call that is under way, if blocks are sampled. */
extern __thread struct caller sample_caller __attribute__((tls_model("initial-exec")));

struct event {
    enum ring_op op;
    const void *block;
    const void *before; /* RING_REALLOC, RING_FAILED: the old block, or NULL */
    size_t size;
    size_t alignment; /* 0: the granule's */
};

/* Called at the start; recording is off if the ring cannot be made. */
void record_start(void);

/* Take and give the recorder's lock. */
void record_lock(void);
void record_unlock(void);

/* Of the thread's call that is under way: the return addresses beyond the call's own. */
#define FRAMES_MOST 32u
struct record_stack {
    unsigned count;
    uint64_t frames[FRAMES_MOST];
};
extern __thread struct record_stack record_stack __attribute__((tls_model("initial-exec")));

/* stack.c: fills it in, before record_lock: to unwind takes the loader's lock, whose holder may
 * allocate. */
void record_capture(struct caller caller);

/* Writes the event, unless its op is RING_NOTHING, and gives the lock. */
void record_write_and_unlock(const struct event *event, void *site);

/* Whether the calling thread has it. */
bool record_is_locked(void);

/* When the process ends by itself: what it has mapped, for the names of call sites. */
void record_finish(void);

/* Around fork, so that the lock is not held by a thread that waits for another that forks. */
void record_prepare_fork(void);
void record_end_fork(void);

static inline void record_begin(struct caller caller)
{
    if (__builtin_expect(heap.recorder != NULL, 0)) {
        record_capture(caller);
        record_lock();
    }
}

static inline void record_end(struct event event, struct caller caller)
{
    if (__builtin_expect(heap.recorder != NULL, 0))
        record_write_and_unlock(&event, caller.site);
}

#endif
