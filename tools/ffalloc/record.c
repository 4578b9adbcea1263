/* SPDX-License-Identifier: MIT */
/* ffalloc record: runs a program and writes down each of its calls. */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "launch.h"
#include "overhead.h"
#include "session.h"

#define KEY_OVERHEAD 256
#define KEY_ROTATE   257
#define KEY_PAUSED   258
#define KEY_PID      259

#define ROTATE_LEAST ((uint64_t)64 << 10)

static const struct argp_option options[] = {
    {"output", 'o', "TRACE", 0,
     "the trace; with %p, the process, its children have one each; - is standard output, and the "
     "program's own goes to standard error",
     0},
    {"backtrace", 'b', "HOW", 0,
     "what is kept of a call's site: caller (the default), fp (frame pointers), unwind "
     "(libunwind), "
     "auto (the best that works)",
     0},
    {"paused", KEY_PAUSED, NULL, 0,
     "record nothing until the program calls ffalloc_record_start (ffalloc/record.h)", 0},
    {"pid", KEY_PID, "PID", 0,
     "record a process that runs already, under ffalloc run --live, until it ends or this command "
     "is interrupted",
     0},
    {"rotate", KEY_ROTATE, "SIZE", 0,
     "begin another trace when one has as many bytes; those that are full are TRACE.part1, "
     "TRACE.part2, ...",
     0},
    {"overhead", KEY_OVERHEAD, "RUNS", 0,
     "then run the program so often with recording and without, in turn, without input and output, "
     "and print the least times",
     0},
    {0},
};

static void read_backtrace(struct launch *launch, const char *text)
{
    launch->chooses_backtrace = strcmp(text, "auto") == 0;
    launch->has_unwind = strcmp(text, "unwind") == 0;
    if (!launch->chooses_backtrace)
        launch_set(launch, "--backtrace", "BACKTRACE", text, "none of caller, fp, unwind, auto");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct session *session = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &session->launch;
        break;
    case 'o':
        session->output.name = text;
        break;
    case 'b':
        read_backtrace(&session->launch, text);
        break;
    case KEY_PAUSED:
        launch_set(&session->launch, "--paused", "PAUSED", "1", "no number");
        break;
    case KEY_PID:
        session->child = parse_process_argument("record: --pid", text);
        break;
    case KEY_ROTATE:
        session->rotate_size = parse_size_argument("--rotate", text);
        if (session->rotate_size < ROTATE_LEAST)
            die(STATUS_USAGE, "--rotate: '%s' is less than 64K", text);
        break;
    case KEY_OVERHEAD:
        session->overhead_runs = overhead_parse(text);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&launch_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    options,
    parse,
    "-o TRACE -- PROGRAM [ARGUMENT...]\n-o TRACE --pid=PID",
    "Runs a program on exact first fit, writes each of its allocator "
    "calls to TRACE, and returns its "
    "status.\vffalloc size, map, report and export read the trace.",
    children,
    NULL,
    NULL,
};

int command_record(int argc, char **argv)
{
    static struct session session;
    int first;
    session.launch = launch_default();
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, &first, &session);
    if (!session.child)
        launch_check(&session.launch, "record", first, argc);
    if (!session.output.name)
        die(STATUS_USAGE, "record: -o TRACE is missing");
    if (session.child)
        return attach(&session, argc - first);
    session.command = argv + first;
    struct session asked = session;
    int status = session_record(&session);
    if (asked.overhead_runs > 0)
        overhead_measure(&asked);
    return status;
}

/* In a process of its own, whose streams the program has. */
static void record_quietly(const char *trace, char **command)
{
    static struct session session;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        die(STATUS_FAILED, "/dev/null cannot be opened: %s", strerror(errno));
    session.launch = launch_default();
    session.output.name = trace;
    session.command = command;
    session.is_quiet = true;
    exit(session_record(&session));
}

char *record_temporary_path(void)
{
    const char *temporary = getenv("TMPDIR");
    char *path;
    if (asprintf(&path, "%s/ffalloc-size.XXXXXX", temporary ? temporary : "/tmp") < 0 ||
        !mkdtemp(path) || asprintf(&path, "%s/trace", path) < 0)
        die(STATUS_FAILED, "no folder can be made in %s: %s", temporary ? temporary : "/tmp",
            strerror(errno));
    return path;
}

char *record_temporarily(char **command)
{
    char *path = record_temporary_path();
    int status = 0;
    fflush(stdout);
    /* The terminal sends these to all: the program decides what they mean, and so its recorder. */
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before_int, before_quit;
    sigaction(SIGINT, &ignore, &before_int);
    sigaction(SIGQUIT, &ignore, &before_quit);
    pid_t child = fork();
    if (child == 0) {
        sigaction(SIGINT, &before_int, NULL);
        sigaction(SIGQUIT, &before_quit, NULL);
        record_quietly(path, command);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGQUIT, &before_quit, NULL);
    bool is_interrupted = WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGINT;
    if (child > 0 && access(path, R_OK) == 0 && !is_interrupted)
        return path;
    record_remove(path);
    exit(WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : STATUS_FAILED);
}

void record_remove(char *path)
{
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    free(path);
}
