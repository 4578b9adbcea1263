/* SPDX-License-Identifier: MIT */
/*
 * What of a program `ffalloc record` writes down: a program may say so itself. Nothing happens
 * where libffalloc.so is not loaded or nothing records, and nothing need be linked.
 *
 *     ffalloc_record_stop();    the calls from here on are not recorded,
 *     ffalloc_record_start();   those from here on are
 *
 * A trace goes on with the blocks that live then, where they lie: those that were asked for
 * meanwhile have no call site, and their sizes are rounded up to granules. Both calls count for all
 * threads, and may be made as often as one likes. `ffalloc record --paused` begins stopped.
 *
 * In a program compiled with -fno-pic and linked with -no-pie they do nothing: its linker takes
 * what is not there for absent for ever.
 */
#ifndef FFALLOC_RECORD_H
#define FFALLOC_RECORD_H

#ifdef __cplusplus
extern "C" {
#endif

/* The library's own; call those below. */
__attribute__((weak)) void ffalloc_recording_start(void);
__attribute__((weak)) void ffalloc_recording_stop(void);

static inline void ffalloc_record_start(void)
{
    void (*volatile start)(void) = ffalloc_recording_start;
    if (start)
        start();
}

static inline void ffalloc_record_stop(void)
{
    void (*volatile stop)(void) = ffalloc_recording_stop;
    if (stop)
        stop();
}

#ifdef __cplusplus
}
#endif

#endif
