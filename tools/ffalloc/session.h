/* SPDX-License-Identifier: MIT */
/* A recording: the program that runs, and a trace of each process that is wanted. */
#ifndef FFALLOC_TOOLS_SESSION_H
#define FFALLOC_TOOLS_SESSION_H

#include <stdbool.h>
#include <sys/types.h>

#include "launch.h"
#include "record_output.h"
#include "recorder.h"

#define SESSION_RECORDERS_MOST 1024

/* The caller fills in what is asked for; the rest is 0. */
struct session {
    struct launch launch;
    struct record_output output; /* its name */
    char **command;
    bool is_quiet; /* nothing is said of what was recorded */
    unsigned overhead_runs;
    uint64_t rotate_size; /* bytes of a trace after which another is begun; 0: never */

    const char *folder; /* of the rings */
    int watch;
    pid_t child;
    bool is_attached; /* the child is none of ours */
    bool has_ended;   /* the child */
    struct ending ending;
    struct recorded {
        struct recorder *recorder;
        int process;          /* a pidfd; -1: it has ended */
        unsigned image_count; /* programs that the process was before, by exec */
        unsigned part_count;  /* traces that were full */
        pid_t snapshot;       /* the process that writes one; 0: none does */
    } recorded[SESSION_RECORDERS_MOST];
    unsigned count;
    unsigned trace_count;     /* written or being written */
    unsigned ignored_count;   /* processes that were not wanted */
    bool has_failed;          /* a trace could not be written */
    unsigned snapshot_count;  /* that were asked for and are done, one for all processes */
    bool has_snapshot_failed; /* the last one */
    bool is_in_snapshot;
};

/* What a session does again and again; returns whether there was anything to do. */
bool session_serve(struct session *session);

/* Waits for news of the folder, or a moment. */
void session_wait(const struct session *session);

/* Makes the folder of the rings, and looks for them. */
void session_open(struct session *session);

/* Finishes all traces, and returns the status to end with. */
int session_end(struct session *session);

/* Runs the command and writes its traces; returns the status to end with. */
int session_record(struct session *session);

#endif
