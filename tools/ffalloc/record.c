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

#include "command.h"
#include "launch.h"
#include "session.h"

static const struct argp_option options[] = {
    {"output", 'o', "TRACE", 0,
     "the trace; with %p, the process, its children have one each; - is standard output, and the "
     "program's own goes to standard error",
     0},
    {"backtrace", 'b', "HOW", 0,
     "what is kept of a call's site: caller (the default), fp (frame pointers), unwind (libunwind)",
     0},
    {0},
};

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
        launch_set(&session->launch, "--backtrace", "BACKTRACE", text,
                   "none of caller, fp, unwind");
        session->launch.has_unwind = strcmp(text, "unwind") == 0;
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
    "-o TRACE -- PROGRAM [ARGUMENT...]",
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
    launch_check(&session.launch, "record", first, argc);
    if (!session.output.name)
        die(STATUS_USAGE, "record: -o TRACE is missing");
    session.command = argv + first;
    return session_record(&session);
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

char *record_temporarily(char **command)
{
    const char *temporary = getenv("TMPDIR");
    char *path;
    int status = 0;
    if (asprintf(&path, "%s/ffalloc-size.XXXXXX", temporary ? temporary : "/tmp") < 0 ||
        !mkdtemp(path) || asprintf(&path, "%s/trace", path) < 0)
        die(STATUS_FAILED, "no folder can be made in %s: %s", temporary ? temporary : "/tmp",
            strerror(errno));
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
