/* SPDX-License-Identifier: MIT */
/* One recorded process: its ring on one side, its trace on the other. */
#ifndef FFALLOC_TOOLS_RECORDER_H
#define FFALLOC_TOOLS_RECORDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ring.h"
#include "trace_notes.h"

struct recorder;

/* Begins a trace of the ring's process, which it writes as trace_create says; NULL, having said
 * why, if it cannot. `command` is what was asked to be recorded. The ring is its own. */
struct recorder *recorder_open(struct ring *ring, const char *trace_path, int special,
                               char **command);

/* Takes what the process has written; returns whether that was anything. */
bool recorder_drain(struct recorder *recorder);

/* Finishes the trace and says what was recorded, unless quiet; false, having said so, if it cannot
 * be written. */
bool recorder_finish(struct recorder *recorder, struct ending ending, bool is_quiet);

/* Finishes the trace of a process that has become another program, under a name of its own, and
 * says so; as recorder_finish otherwise. What is no regular file has one trace only, so this one is
 * dropped, which it says. Without an event there is no trace. */
bool recorder_finish_as(struct recorder *recorder, const char *trace_path, bool is_quiet);

/* Makes a whole trace of what was recorded so far, beside its own, in a child process, whose number
 * it returns; -1, having said why, if it cannot. */
pid_t recorder_snapshot(struct recorder *recorder);

/* Whether the trace has as many bytes as that; then recorder_rotate finishes it under a name of its
 * own, and begins another with what lives now. False, having said so, if it cannot be written. */
bool recorder_is_full(const struct recorder *recorder, uint64_t most);
bool recorder_rotate(struct recorder *recorder, const char *trace_path, bool is_quiet);

/* Tells the process to write no more. */
void recorder_leave(struct recorder *recorder);

/* Where the trace goes. */
const char *recorder_trace(const struct recorder *recorder);

unsigned recorder_process(const struct recorder *recorder);

#endif
