/* SPDX-License-Identifier: MIT */
/* ffalloc snapshot: a whole trace of what was recorded so far. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "directory.h"
#include "parse.h"

#define NAP_MICROSECONDS 5000
#define NAPS_MOST        12000 /* a minute */

static error_t parse(int key, char *text, struct argp_state *state)
{
    pid_t *process = state->input;
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (*process)
        die(STATUS_USAGE, "snapshot: one process at a time");
    *process = parse_process_argument("snapshot", text);
    return 0;
}

static const struct argp argp = {
    NULL,
    parse,
    "PID",
    "Makes a whole trace of what `ffalloc record` has recorded so far, while the program goes on."
    "\vPID is the recorded process, or its recorder; SIGUSR2 to the recorder does the same. The "
    "snapshot of TRACE is TRACE.snapshot, which replaces an earlier one when it is whole.",
    NULL,
    NULL,
    NULL};

int command_snapshot(int argc, char **argv)
{
    pid_t process = 0;
    struct recording before, now;
    argp_parse(&argp, argc, argv, 0, NULL, &process);
    if (!process)
        die(STATUS_USAGE, "snapshot: no process is named");
    if (!directory_find(process, &before))
        die(STATUS_FAILED, "process %d is not being recorded", process);
    if (kill(before.recorder, SIGUSR2) != 0)
        die(STATUS_FAILED, "the recorder of process %d cannot be told: %s", process,
            strerror(errno));
    for (unsigned naps = 0; naps < NAPS_MOST; naps++) {
        if (!directory_find(before.recorder, &now))
            die(STATUS_FAILED, "the recording has ended before: its trace is %s", before.trace);
        if (now.snapshot_count != before.snapshot_count)
            break;
        usleep(NAP_MICROSECONDS);
    }
    if (now.snapshot_count == before.snapshot_count || now.has_failed)
        die(STATUS_FAILED, "the recorder of process %d %s", process,
            now.has_failed ? "could not write the snapshot" : "does not answer");
    printf("%s.snapshot\n", before.trace);
    finish_output();
    return STATUS_OK;
}
