/* SPDX-License-Identifier: MIT */
#include "overhead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "parse.h"
#include "record.h"

#define RUNS_MOST 1000

unsigned overhead_parse(const char *text)
{
    uint64_t count;
    if (!parse_whole(text, &count) || count < 1 || count > RUNS_MOST)
        die(STATUS_USAGE, "--overhead: '%s' is no number from 1 to %d", text, RUNS_MOST);
    return (unsigned)count;
}

/* In a process of its own: the program with nothing to read or to say. */
static void start(const struct session *asked, const char *trace)
{
    static struct session session;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int stream = 0; stream <= 2; stream++)
        if (null < 0 || dup2(null, stream) < 0)
            exit(STATUS_FAILED);
    session.launch = asked->launch;
    session.command = asked->command;
    session.output.name = trace;
    session.is_quiet = true;
    const char *path = launch_find(session.command[0]);
    launch_choose_backtrace(&session.launch);
    if (trace)
        exit(session_record(&session));
    launch_prepare(&session.launch);
    launch_exec(path, session.command);
}

/* Seconds of a run, recorded if `trace` says where to; less than 0 if it was interrupted. */
static double run(const struct session *asked, const char *trace)
{
    int status = 0;
    double begin = seconds();
    pid_t child = fork();
    if (child < 0)
        die(STATUS_FAILED, "cannot fork: %s", strerror(errno));
    if (child == 0)
        start(asked, trace);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    double end = seconds();
    bool is_interrupted = (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) ||
                          (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGINT);
    return is_interrupted ? -1 : end - begin;
}

void overhead_measure(const struct session *asked)
{
    char *trace = record_temporary_path();
    double least[2] = {1e9, 1e9};
    for (unsigned i = 0; i < 2 * asked->overhead_runs; i++) {
        double taken = run(asked, i % 2 ? trace : NULL);
        if (taken < 0) {
            record_remove(trace);
            die(STATUS_FAILED, "--overhead: interrupted");
        }
        least[i % 2] = taken < least[i % 2] ? taken : least[i % 2];
    }
    record_remove(trace);
    say("recording: %.3f s, without %.3f s: %+.0f %% (least of %u run%s each, in turn)", least[1],
        least[0], 100 * (least[1] / least[0] - 1), asked->overhead_runs,
        plural(asked->overhead_runs));
}
