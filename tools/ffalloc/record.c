/* SPDX-License-Identifier: MIT */
/*
 * ffalloc record: runs a program and writes down each of its calls. Every process that loads the
 * library makes a ring in a folder of ours; those that are wanted get a trace, the others are told
 * to stop.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "launch.h"
#include "record.h"
#include "recorder.h"

#define RECORDERS_MOST    1024
#define IDLE_MILLISECONDS 2

struct session {
    struct launch launch;
    const char *output;
    int special; /* what has that name and is no regular file, open; -1 */
    char **command;
    char folder[PATH_MAX];
    int watch;
    pid_t child;
    bool has_ended; /* the child */
    struct ending ending;
    struct recorded {
        struct recorder *recorder;
        int process;          /* a pidfd; -1: it has ended */
        unsigned image_count; /* programs that the process was before, by exec */
    } recorded[RECORDERS_MOST];
    unsigned count;
    unsigned trace_count;   /* written or being written */
    unsigned ignored_count; /* processes that were not wanted */
    bool has_failed;        /* a trace could not be written */
    bool is_quiet;          /* nothing is said of what was recorded */
};

static volatile sig_atomic_t signal_to_pass;

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
        session->output = text;
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

/* The folder of the rings, removed whatever way the recorder itself ends. */
static char ring_folder[PATH_MAX];
static pid_t folder_owner;

static void remove_folder(void)
{
    DIR *folder = getpid() == folder_owner ? opendir(ring_folder) : NULL;
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (!folder)
        return;
    closedir(folder);
    rmdir(ring_folder);
}

/* A folder for the rings, in memory if there is such a place. */
static void make_folder(struct session *session)
{
    const char *temporary = getenv("TMPDIR");
    const char *const places[] = {"/dev/shm", temporary ? temporary : "/tmp", "/tmp"};
    for (unsigned i = 0; i < 3; i++) {
        snprintf(session->folder, sizeof session->folder, "%s/ffalloc.XXXXXX", places[i]);
        if (places[i][0] == '/' && strlen(places[i]) < 100 && mkdtemp(session->folder)) {
            strcpy(ring_folder, session->folder);
            folder_owner = getpid();
            atexit(remove_folder);
            return;
        }
    }
    die(STATUS_FAILED, "no folder can be made in /dev/shm or /tmp: %s", strerror(errno));
}

/* The trace goes to standard output. */
static bool is_output(const struct session *session)
{
    return strcmp(session->output, "-") == 0;
}

/* The output with each %p replaced by the process's number. */
static char *trace_path(const struct session *session, unsigned process)
{
    char *path = allocate(strlen(session->output) * 6 + 1);
    char *end = path;
    for (const char *from = session->output; *from; from++) {
        if (from[0] == '%' && from[1] == 'p') {
            end += sprintf(end, "%u", process);
            from++;
        } else {
            *end++ = *from;
        }
    }
    return path;
}

static void drop_recorder(struct session *session, unsigned i)
{
    struct recorded *recorded = &session->recorded[i];
    if (recorded->process >= 0)
        close(recorded->process);
    *recorded = session->recorded[--session->count];
}

static void finish_recorder(struct session *session, unsigned i)
{
    struct recorded *recorded = &session->recorded[i];
    bool is_child = recorder_process(recorded->recorder) == (unsigned)session->child;
    struct ending none = {0};
    session->has_failed |= !recorder_finish(recorded->recorder,
                                            is_child && session->has_ended ? session->ending : none,
                                            session->is_quiet);
    drop_recorder(session, i);
}

/* Without %p: the program itself, whatever it becomes by exec; or with --only the first of that
 * name. */
static bool is_wanted(const struct session *session, const struct ring *ring)
{
    if (strstr(session->output, "%p"))
        return session->count < RECORDERS_MOST;
    bool is_first = session->launch.only ? session->trace_count == 0
                                         : ring->process == (unsigned)session->child;
    return is_first && ring->parent == 0;
}

/* The recorder of a process, or session->count. */
static unsigned find_recorder(const struct session *session, unsigned process)
{
    unsigned i = 0;
    while (i < session->count && recorder_process(session->recorded[i].recorder) != process)
        i++;
    return i;
}

/* The process has become another program by exec, whose trace has the name that was asked for. What
 * it called before is kept beside it. */
static void finish_earlier(struct session *session, unsigned i)
{
    struct recorder *recorder = session->recorded[i].recorder;
    char *path = trace_path(session, recorder_process(recorder));
    char *name;
    unsigned number = ++session->recorded[i].image_count;
    if (asprintf(&name, "%s.%u", path, number) < 0)
        die(STATUS_FAILED, "out of memory");
    session->has_failed |= !recorder_finish_as(recorder, name, session->is_quiet);
    free(path);
    free(name);
}

static void add_ring(struct session *session, const char *name)
{
    char path[PATH_MAX + 300];
    snprintf(path, sizeof path, "%s/%s", session->folder, name);
    struct ring *ring = ring_open(path);
    if (!ring)
        return;
    unsigned process = ring->process;
    unsigned earlier = find_recorder(session, process);
    bool is_next_image = earlier < session->count;
    if (!is_next_image && !is_wanted(session, ring)) {
        ring->is_unwanted = 1;
        session->ignored_count++;
        ring_close(ring);
        return;
    }
    struct recorded recorded = {.process = -1};
    if (is_next_image) {
        finish_earlier(session, earlier);
        recorded.image_count = session->recorded[earlier].image_count;
        drop_recorder(session, earlier);
    }
    char *trace = trace_path(session, process);
    recorded.recorder = recorder_open(ring, trace, session->special, session->command);
    free(trace);
    if (!recorded.recorder) {
        ring->is_unwanted = 1;
        ring_close(ring);
        session->has_failed = true;
        return;
    }
    recorded.process = (int)syscall(SYS_pidfd_open, process, 0);
    session->recorded[session->count++] = recorded;
    session->trace_count++;
}

static bool take_news(struct session *session)
{
    _Alignas(struct inotify_event) char news[8192];
    ssize_t length = read(session->watch, news, sizeof news);
    for (ssize_t at = 0; at < length;) {
        struct inotify_event *event = (struct inotify_event *)(void *)(news + at);
        if (event->len > 0 && strstr(event->name, ".ring"))
            add_ring(session, event->name);
        at += (ssize_t)sizeof *event + event->len;
    }
    return length > 0;
}

static bool has_process_ended(const struct recorded *recorded)
{
    struct pollfd poll_process = {.fd = recorded->process, .events = POLLIN};
    return recorded->process < 0 || poll(&poll_process, 1, 0) > 0;
}

/* One round; returns whether there was anything to do. */
static bool serve(struct session *session)
{
    int status;
    if (signal_to_pass) {
        kill(session->child, signal_to_pass);
        signal_to_pass = 0;
    }
    if (!session->has_ended && waitpid(session->child, &status, WNOHANG) == session->child) {
        session->has_ended = true;
        session->ending = (struct ending){true, status};
    }
    bool was_busy = take_news(session);
    for (unsigned i = session->count; i-- > 0;) {
        bool has_ended = has_process_ended(&session->recorded[i]);
        bool is_child = recorder_process(session->recorded[i].recorder) == (unsigned)session->child;
        was_busy |= recorder_drain(session->recorded[i].recorder);
        if (is_child ? session->has_ended : has_ended) {
            finish_recorder(session, i);
            was_busy = true;
        }
    }
    return was_busy;
}

static void pass_signal(int number)
{
    signal_to_pass = number;
}

static void start_child(struct session *session, const char *path)
{
    /* The terminal sends these to the program too, which decides what they mean. */
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before_int, before_quit, before_pipe;
    sigaction(SIGINT, &ignore, &before_int);
    sigaction(SIGQUIT, &ignore, &before_quit);
    /* Nobody may read what is said, or the trace: that is no reason to leave all as it is. */
    sigaction(SIGPIPE, &ignore, &before_pipe);
    struct sigaction pass = {.sa_handler = pass_signal, .sa_flags = SA_RESTART};
    session->child = fork();
    if (session->child < 0)
        die(STATUS_FAILED, "cannot fork: %s", strerror(errno));
    if (session->child == 0) {
        sigaction(SIGINT, &before_int, NULL);
        sigaction(SIGQUIT, &before_quit, NULL);
        sigaction(SIGPIPE, &before_pipe, NULL);
        if (is_output(session)) /* the trace's alone */
            dup2(2, 1);
        launch_prepare(&session->launch);
        launch_exec(path, session->command);
    }
    sigaction(SIGTERM, &pass, NULL);
    sigaction(SIGHUP, &pass, NULL);
}

static int end_session(struct session *session)
{
    while (session->count > 0)
        finish_recorder(session, session->count - 1);
    close(session->watch);
    if (session->trace_count == 0 && !session->has_failed)
        say("nothing was recorded: no %s called the allocator",
            session->launch.only ? "program of that name" : "process");
    if (session->ignored_count > 0 && !session->launch.only && !session->is_quiet)
        say("%u further processes were not recorded: write -o NAME.%%p for a trace of each",
            session->ignored_count);
    if (session->has_failed || session->trace_count == 0)
        return STATUS_FAILED;
    int status = session->ending.status;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Opens a pipe, or whatever has the output's name and is no regular file: it stays open until the
 * last trace is whole, or who reads it would take the program's first exec for the end. */
static void open_special(struct session *session)
{
    struct stat status;
    session->special = -1;
    if (is_output(session) && isatty(1))
        die(STATUS_USAGE, "record: standard output is a terminal: -o - writes a trace there");
    bool is_special = stat(session->output, &status) == 0 && !S_ISREG(status.st_mode);
    if (is_output(session))
        session->special = fcntl(1, F_DUPFD_CLOEXEC, 3);
    else if (is_special)
        session->special = open(session->output, O_WRONLY | O_CLOEXEC);
    if (session->special < 0 && (is_special || is_output(session)))
        die(STATUS_FAILED, "%s cannot be written: %s",
            is_output(session) ? "standard output" : session->output, strerror(errno));
}

/* Whether the trace can be written is found out before the program runs, not after. */
static void check_output(const struct session *session)
{
    if (session->special >= 0)
        return;
    char *path = trace_path(session, 0);
    char *slash = strrchr(path, '/');
    if (access(path, F_OK) == 0 ? access(path, W_OK) != 0 : false)
        die(STATUS_FAILED, "%s cannot be written: %s", path, strerror(errno));
    if (slash)
        *slash = '\0';
    if (access(slash ? (slash == path ? "/" : path) : ".", W_OK) != 0)
        die(STATUS_FAILED, "%s cannot be written: %s", session->output, strerror(errno));
    free(path);
}

/* Records session->command to session->output; returns the status to end with. */
static int record(struct session *session)
{
    const char *path = launch_find(session->command[0]);
    open_special(session);
    check_output(session);
    make_folder(session);
    session->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (session->watch < 0 || inotify_add_watch(session->watch, session->folder, IN_MOVED_TO) < 0)
        die(STATUS_FAILED, "%s cannot be watched: %s", session->folder, strerror(errno));
    launch_set(&session->launch, session->folder, "RECORD", session->folder, "no folder for rings");
    start_child(session, path);
    struct pollfd news = {.fd = session->watch, .events = POLLIN};
    while (!session->has_ended || session->count > 0)
        if (!serve(session))
            poll(&news, 1, IDLE_MILLISECONDS);
    while (serve(session))
        ;
    return end_session(session);
}

int command_record(int argc, char **argv)
{
    static struct session session;
    int first;
    session.launch = launch_default();
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, &first, &session);
    launch_check(&session.launch, "record", first, argc);
    if (!session.output)
        die(STATUS_USAGE, "record: -o TRACE is missing");
    session.command = argv + first;
    return record(&session);
}

/* In a process of its own, whose streams the program has. */
static void record_quietly(const char *trace, char **command)
{
    static struct session session;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        die(STATUS_FAILED, "/dev/null cannot be opened: %s", strerror(errno));
    session.launch = launch_default();
    session.output = trace;
    session.command = command;
    session.is_quiet = true;
    exit(record(&session));
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
