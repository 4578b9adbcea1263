/* SPDX-License-Identifier: MIT */
/* The ffalloc command: finds the command named, here or among the views, which are Python. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "ffalloc/ffalloc.h"

#define PYTHON "/usr/bin/python3"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL: views.py has it */
    const char *what;                  /* NULL: for the views, not for people */
} commands[] = {
    {"run", command_run, "run a program on exact first fit"},
    {"record", command_record, "run a program and write down each of its calls"},
    {"snapshot", command_snapshot, "a trace of what is recorded so far"},
    {"top", command_top, "the heap of a recorded process, once a second"},
    {"replay", command_replay, "make the calls of a trace again"},
    {"size", command_size, "the smallest pool for a trace"},
    {"why", NULL, "what makes that pool so large, and what would make it smaller"},
    {"map", NULL, "a picture of the pool, at one moment and over its life"},
    {"report", NULL, "all about a trace on one HTML page"},
    {"export", NULL, "a trace for other viewers"},
    {"sweep", NULL, "fail each allocation of a program in turn"},
    {"dump", NULL, "the pools in an image of a device's memory, or a core file"},
    {"doctor", NULL, "which integrations work here"},
    {"data", command_data, NULL},
    {"reasons", command_reasons, NULL},
    {"events", command_events, NULL},
};

#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static void print_help(void)
{
    printf("Usage: ffalloc COMMAND [OPTION...] ...\n"
           "Exact first fit: record, size, replay, see.\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].what)
            printf("  %-9s %s\n", commands[i].name, commands[i].what);
    printf("\nffalloc COMMAND --help tells more of each; so does ffalloc(1).\n"
           "\n    ffalloc record -o app.ftrc -- ./app && ffalloc size app.ftrc\n");
    finish_output();
}

/* The views run as "python3 views.py FILE COMMAND ...", where FILE is this command's. */
static void run_view(int argc, char **argv)
{
    char own[4096];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    own[length > 0 ? length : 0] = '\0';
    char **words = allocate(((size_t)argc + 3) * sizeof *words);
    words[0] = strdup(PYTHON); /* by a bare name Python would look for its home on the PATH */
    words[1] = strdup(find_views());
    words[2] = own;
    memcpy(words + 3, argv + 1, (size_t)(argc - 1) * sizeof *words);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    setenv("PYTHONCOERCECLOCALE", "0", 1); /* or it would give itself another locale */
    execv(PYTHON, words);
    die(STATUS_FAILED, PYTHON " cannot be run: %s", strerror(errno));
}

/* A stream that is closed must not be a file that is opened here. The program finds it closed. */
static void open_streams(void)
{
    int null;
    while ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && null <= 2)
        ;
    if (null > 2)
        close(null);
}

int main(int argc, char **argv)
{
    open_streams();
    argp_err_exit_status = STATUS_USAGE;
    if (argc > 2 && strcmp(argv[1], "help") == 0) {
        argv[1] = argv[2];
        argv[2] = "--help";
        argc = 3;
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help();
        return argc < 2 ? STATUS_USAGE : STATUS_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("ffalloc " FFALLOC_VERSION "\n");
        finish_output();
        return STATUS_OK;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (!commands[i].run)
            run_view(argc, argv);
        char name[40];
        snprintf(name, sizeof name, "ffalloc %s", commands[i].name);
        argv[1] = program_invocation_name = name;
        return commands[i].run(argc - 1, argv + 1);
    }
    die(STATUS_USAGE, "there is no command '%s'; ffalloc --help lists them", argv[1]);
}
