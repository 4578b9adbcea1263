/* SPDX-License-Identifier: MIT */
/*
 * Every process that loads the library makes a ring in a folder of ours; those that are wanted get
 * a trace, the others are told to stop.
 */
#include "session.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "directory.h"
#include "rings.h"
#include "snapshots.h"

#define IDLE_MILLISECONDS 2

static volatile sig_atomic_t signal_to_pass;

static void drop_recorder(struct session *session, unsigned i)
{
    struct recorded *recorded = &session->recorded[i];
    snapshots_wait(session, recorded);
    if (recorded->process >= 0)
        close(recorded->process);
    *recorded = session->recorded[--session->count];
    directory_note(session);
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
    if (strstr(session->output.name, "%p"))
        return session->count < SESSION_RECORDERS_MOST;
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
    char *path = record_output_path(&session->output, recorder_process(recorder));
    char *name;
    unsigned number = ++session->recorded[i].image_count;
    if (asprintf(&name, "%s.%u", path, number) < 0)
        die(STATUS_FAILED, "out of memory");
    session->has_failed |= !recorder_finish_as(recorder, name, session->is_quiet);
    free(path);
    free(name);
}

static char *name_of_part(const struct session *session, struct recorded *recorded)
{
    char *path = record_output_path(&session->output, recorder_process(recorded->recorder));
    char *name;
    if (asprintf(&name, "%s.part%u", path, ++recorded->part_count) < 0)
        die(STATUS_FAILED, "out of memory");
    free(path);
    return name;
}

/* Begins another trace if one is full. One that cannot be written ends the recording of its
 * process. */
static void rotate(struct session *session, unsigned i)
{
    struct recorded *recorded = &session->recorded[i];
    if (!recorder_is_full(recorded->recorder, session->rotate_size))
        return;
    char *name = name_of_part(session, recorded);
    if (!recorder_rotate(recorded->recorder, name, session->is_quiet)) {
        session->has_failed = true;
        drop_recorder(session, i);
    }
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
        recorded.part_count = session->recorded[earlier].part_count;
        drop_recorder(session, earlier);
    }
    char *trace = record_output_path(&session->output, process);
    recorded.recorder = recorder_open(ring, trace, session->output.special, session->command);
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
    directory_note(session);
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

bool session_serve(struct session *session)
{
    int status;
    if (signal_to_pass) {
        kill(session->child, signal_to_pass);
        signal_to_pass = 0;
    }
    if (!session->is_attached && !session->has_ended &&
        waitpid(session->child, &status, WNOHANG) == session->child) {
        session->has_ended = true;
        session->ending = (struct ending){true, status};
    }
    bool was_busy = take_news(session);
    snapshots_see_to(session);
    for (unsigned i = session->count; i-- > 0;) {
        bool has_ended = has_process_ended(&session->recorded[i]);
        bool is_child = !session->is_attached &&
                        recorder_process(session->recorded[i].recorder) == (unsigned)session->child;
        was_busy |= recorder_drain(session->recorded[i].recorder);
        if (is_child ? session->has_ended : has_ended) {
            finish_recorder(session, i);
            was_busy = true;
        } else {
            rotate(session, i);
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
        if (record_output_is_standard(&session->output)) /* the trace's alone */
            dup2(2, 1);
        launch_prepare(&session->launch);
        launch_exec(path, session->command);
    }
    sigaction(SIGTERM, &pass, NULL);
    sigaction(SIGHUP, &pass, NULL);
    snapshots_start();
}

int session_end(struct session *session)
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

void session_wait(const struct session *session)
{
    struct pollfd news = {.fd = session->watch, .events = POLLIN};
    poll(&news, 1, IDLE_MILLISECONDS);
}

void session_open(struct session *session)
{
    if (session->rotate_size > 0 && session->output.special >= 0)
        die(STATUS_USAGE, "record: --rotate: %s is no file, of which there could be several",
            session->output.name);
    session->folder = rings_make_folder();
    session->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (session->watch < 0 || inotify_add_watch(session->watch, session->folder, IN_MOVED_TO) < 0)
        die(STATUS_FAILED, "%s cannot be watched: %s", session->folder, strerror(errno));
}

int session_record(struct session *session)
{
    const char *path = launch_find(session->command[0]);
    const char *chosen = launch_choose_backtrace(&session->launch);
    if (chosen && !session->is_quiet)
        say("--backtrace auto: %s", chosen);
    record_output_open(&session->output);
    session_open(session);
    launch_set(&session->launch, session->folder, "RECORD", session->folder, "no folder for rings");
    start_child(session, path);
    while (!session->has_ended || session->count > 0)
        if (!session_serve(session))
            session_wait(session);
    while (session_serve(session))
        ;
    return session_end(session);
}
