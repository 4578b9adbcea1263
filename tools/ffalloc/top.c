/* SPDX-License-Identifier: MIT */
/*
 * ffalloc top: the heap of a process, once a second. It reads the trace that is being written, of
 * which the recorder writes out what there is each second; where nobody records, it has a recorder
 * of its own.
 */
#include "top.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "directory.h"
#include "parse.h"
#include "record.h"
#include "sites.h"

#define NAP_MILLISECONDS 50
#define KEY_JSON         'j'

struct arguments {
    struct top top;
    uint64_t count; /* of seconds; 0: as long as the process lives */
};

static const struct argp_option options[] = {
    {"count", 'n', "N", 0, "end after so many times", 0},
    {"json", KEY_JSON, NULL, 0, "print an object a line", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'n':
        if (!parse_whole(text, &arguments->count) || arguments->count == 0)
            die(STATUS_USAGE, "--count: '%s' is no number from 1", text);
        break;
    case KEY_JSON:
        arguments->top.is_json = true;
        break;
    case ARGP_KEY_ARG:
        if (arguments->top.process)
            die(STATUS_USAGE, "top: one process at a time");
        arguments->top.process = parse_process_argument("top", text);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    parse,
    "PID",
    "Shows the pool of a process, its mark and holes and the largest sites, once a second."
    "\vThe process is being recorded by ffalloc record, or runs under ffalloc run --live.",
    sites_children,
    NULL,
    NULL};

static volatile sig_atomic_t is_over;
static struct termios before;
static bool has_terminal;
static double shown_at; /* seconds */
static bool has_shown;
static uint64_t times_left;
static bool is_last_look;

static void end(int number)
{
    (void)number;
    is_over = 1;
}

static void leave_screen(void)
{
    if (!has_terminal)
        return;
    has_terminal = false;
    dprintf(1, "\33[?25h\33[?1049l");
    tcsetattr(0, TCSANOW, &before);
}

static void enter_screen(struct top *top)
{
    top->is_screen = !top->is_json && isatty(0) && isatty(1) && tcgetattr(0, &before) == 0;
    if (!top->is_screen)
        return;
    struct termios now = before;
    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(0, TCSANOW, &now);
    has_terminal = true;
    atexit(leave_screen);
    printf("\33[?1049h\33[?25l");
}

/* The first time once all that there is has been read, or has taken a second. */
static void show_sometimes(struct top *top, bool is_all_read)
{
    double now = seconds();
    bool is_time = now - shown_at >= 1 || (is_all_read && !has_shown);
    if (!is_time || is_over || !top->has_replay)
        return;
    has_shown = true;
    shown_at = now;
    top_show(top);
    is_over |= times_left > 0 && --times_left == 0;
}

/* Whether the user wants no more; waits a moment for that. */
static void look_at_keys(const struct top *top)
{
    char key;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    int found = poll(&input, top->is_screen ? 1 : 0, NAP_MILLISECONDS);
    if (found > 0 && (read(0, &key, 1) != 1 || key == 'q' || key == 'Q'))
        is_over = 1;
}

/* At the end of what is written: waits for more, until the recording ends. */
static bool wait_for_more(void *context)
{
    struct top *top = context;
    struct recording recording;
    show_sometimes(top, true);
    look_at_keys(top);
    if (is_over || is_last_look || top->trace->end)
        return false;
    is_last_look = !directory_find(top->process, &recording);
    return true;
}

/* In a process of its own. */
static pid_t start_recorder(pid_t process, const char *trace)
{
    static struct session session;
    struct recording recording;
    pid_t child = fork();
    if (child == 0) {
        session.child = process;
        session.output.name = trace;
        session.is_quiet = true;
        session.launch = launch_default();
        exit(attach(&session, 0));
    }
    int status;
    while (!directory_find(process, &recording) && !is_over) {
        if (waitpid(child, &status, WNOHANG) == child) {
            record_remove((char *)(uintptr_t)trace);
            exit(WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED);
        }
        usleep(NAP_MILLISECONDS * 1000);
    }
    return child;
}

/* Of one trace, to its end. */
static void follow(struct top *top, const struct recording *recording)
{
    struct trace_event event;
    char *path = trace_unfinished(recording->trace);
    is_last_look = false;
    top->process = recording->process;
    top->trace = trace_open(path);
    trace_follow(top->trace, wait_for_more, top);
    while (!is_over && trace_next(top->trace, &event)) {
        top_take(top, &event);
        if (top->trace->event_count % 4096 == 0)
            show_sometimes(top, false);
    }
    is_over |= top->trace->error != NULL && top->trace->event_count > 0;
}

static void follow_all(struct top *top)
{
    struct recording recording;
    while (!is_over && directory_find(top->process, &recording)) {
        if (top->trace) { /* a rotated one has ended */
            top_forget(top);
            trace_close(top->trace);
        }
        follow(top, &recording);
    }
}

int command_top(int argc, char **argv)
{
    static struct arguments arguments;
    struct sigaction action = {.sa_handler = end};
    struct recording recording;
    struct top *top = &arguments.top;
    char *own = NULL;
    pid_t recorder = 0;
    setlocale(LC_CTYPE, "");
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (!top->process)
        die(STATUS_USAGE, "top: no process is named");
    times_left = arguments.count;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    if (!directory_find(top->process, &recording)) {
        own = record_temporary_path();
        recorder = start_recorder(top->process, own);
    }
    enter_screen(top);
    shown_at = seconds();
    follow_all(top);
    leave_screen();
    top->is_screen = false;
    if (top->trace && !is_over)
        top_show(top);
    if (recorder > 0) {
        kill(recorder, SIGTERM);
        waitpid(recorder, NULL, 0);
        record_remove(own);
    }
    finish_output();
    return STATUS_OK;
}
