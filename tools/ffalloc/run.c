/* SPDX-License-Identifier: MIT */
/* ffalloc run: a program under libffalloc.so, alone or with a tool that watches it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "launch.h"

struct run {
    struct launch launch;
    const char *tool;
};

#define KEY_LIVE   256
#define KEY_SAMPLE 257

static const struct argp_option options[] = {
    {"stats", 's', "json", OPTION_ARG_OPTIONAL, "report at exit", 0},
    {"fail", 'f', "SPEC", 0, "refuse requests: nth:100, every:7, prob:0.01:seed=3, size>=4096", 0},
    {"check", 'c', "N", 0, "verify the heap every N calls", 0},
    {"fill", 'F', "BYTE", 0, "fill freed memory with this byte, new memory with its complement", 0},
    {"guard", 'G', "BYTES", OPTION_ARG_OPTIONAL,
     "at least so many bytes that are nobody's behind each block, 64 if not said: what is written "
     "there is told; 0: none, also with --tool memcheck",
     0},
    {"quarantine", 'q', "SIZE", 0,
     "freed blocks wait until so much was freed after them: a write after free is told", 0},
    {"sample", KEY_SAMPLE, "N", 0,
     "about one request of N lies on pages of its own: a touch beyond it or after its free is told",
     0},
    {"live", KEY_LIVE, NULL, 0,
     "let ffalloc record --pid and ffalloc top begin with it later; each call then takes one lock",
     0},
    {"tool", 't', "TOOL", 0, "under memcheck, massif or gdb", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct run *run = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &run->launch;
        break;
    case 's':
        launch_set(&run->launch, "--stats", "STATS", text ? text : "1", "neither 1 nor json");
        break;
    case 'f':
        launch_set(&run->launch, "--fail", "FAIL", text,
                   "no rule such as nth:100, every:7, prob:0.01:seed=3 or size>=4096");
        break;
    case 'c':
        launch_set(&run->launch, "--check", "CHECK", text, "no number of calls");
        break;
    case 'F':
        launch_set(&run->launch, "--fill", "FILL", text, "no byte from 0 to 255");
        break;
    case 'G':
        launch_set(&run->launch, "--guard", "GUARD", text ? text : "1",
                   "no number of bytes up to 64K");
        break;
    case 'q':
        launch_set(&run->launch, "--quarantine", "QUARANTINE", text, "no size");
        break;
    case KEY_SAMPLE:
        launch_set(&run->launch, "--sample", "SAMPLE", text, "no number of requests");
        break;
    case KEY_LIVE:
        launch_set(&run->launch, "--live", "LIVE", "1", "no number");
        live_sweep();
        break;
    case 't':
        run->tool = text;
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
    "-- PROGRAM [ARGUMENT...]",
    "Runs a program on exact first fit, and returns its status."
    "\vThe program's blocks are served by libffalloc.so, which is "
    "found beside this command. All of "
    "FFALLOC_* in libffalloc(7) holds too.",
    children,
    NULL,
    NULL,
};

/* Puts a tool's words before the program's. */
static void run_under(const char *const *words, char **arguments, int argument_count)
{
    size_t count = 0;
    while (words[count])
        count++;
    char **all = allocate((count + (size_t)argument_count + 1) * sizeof *all);
    memcpy(all, words, count * sizeof *all);
    memcpy(all + count, arguments, (size_t)argument_count * sizeof *all);
    execvp(all[0], all);
    die(STATUS_NOT_FOUND, "%s is not installed", all[0]);
}

static void run_tool(const struct run *run, char **arguments, int argument_count)
{
    static const char *const memcheck[] = {"valgrind",
                                           "--soname-synonyms=somalloc=nouserintercepts",
                                           "--leak-check=no", "--redzone-size=16", NULL};
    static const char *const massif[] = {"valgrind", "--tool=massif",
                                         "--soname-synonyms=somalloc=nouserintercepts", NULL};
    if (strcmp(run->tool, "memcheck") == 0)
        run_under(memcheck, arguments, argument_count);
    if (strcmp(run->tool, "massif") == 0)
        run_under(massif, arguments, argument_count);
    /* gdb itself, and the shell by which it starts the program, keep libc's malloc. */
    char preload[4200], settings[400], script[4200];
    snprintf(preload, sizeof preload, "set environment LD_PRELOAD %s", getenv("LD_PRELOAD"));
    snprintf(settings, sizeof settings, "set environment FFALLOC_RUN %s", getenv("FFALLOC_RUN"));
    char *views = strdup(find_views());
    *strrchr(views, '/') = '\0';
    snprintf(script, sizeof script, "source %s/gdb_commands.py", views);
    unsetenv("LD_PRELOAD");
    const char *gdb[] = {"gdb",    "-q",  "-ex",  preload, "-ex",
                         settings, "-ex", script, "-ex",   "set startup-with-shell off",
                         "--args", NULL};
    run_under(gdb, arguments, argument_count);
}

int command_run(int argc, char **argv)
{
    struct run run = {.launch = launch_default()};
    int first;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, &first, &run);
    launch_check(&run.launch, "run", first, argc);
    if (run.tool && strcmp(run.tool, "memcheck") != 0 && strcmp(run.tool, "massif") != 0 &&
        strcmp(run.tool, "gdb") != 0)
        die(STATUS_USAGE, "--tool: '%s' is none of memcheck, massif, gdb", run.tool);
    const char *path = launch_find(argv[first]);
    launch_prepare(&run.launch);
    if (run.tool)
        run_tool(&run, argv + first, argc - first);
    launch_exec(path, argv + first);
}
