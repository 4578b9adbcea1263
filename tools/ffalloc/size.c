/* SPDX-License-Identifier: MIT */
/* ffalloc size: prints the smallest pool of traces, or of several recordings of a program. */
#include "size.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "parse.h"
#include "sites.h"

#define LEAST_GUARD   8 /* two words of 32 bits */
#define LARGEST_GUARD 65536

static const struct argp_option options[] = {
    {"granule", 'g', "BYTES", 0,
     "8 to 4096; default: as recorded, or 16; 8 with a target of 32 bits", 0},
    {"margin", 'm', "PERCENT", 0, "suggest a pool so much larger, such as 10%", 0},
    {"fits", 'f', "SIZE", 0, "the status is 0 if the pool is at most so large, else 1", 0},
    {"target", 't', "BITS", 0,
     "a device of 32 or 64 bits, or 32-small or 64-small with FFALLOC_SMALL; default: this machine",
     0},
    {"guard", 'G', "BYTES", OPTION_ARG_OPTIONAL,
     "with guards of so many bytes behind the blocks (ffalloc/guarded.h); default: two words", 0},
    {"runs", 'r', "N", 0,
     "record so many runs of a program, and print the least, the median and the largest pool: what "
     "threads need differs from run to run",
     0},
    {"json", 'j', NULL, 0, "print an object for each trace", 0},
    {0},
};

static double parse_margin(const char *text)
{
    char *end;
    double margin = strtod(text, &end);
    end += *end == '%';
    if (end == text || *end || !(margin >= 0 && margin <= 1000))
        die(STATUS_USAGE, "--margin: '%s' is no percentage", text);
    return margin / 100;
}

/* SIZE_MAX: of the target's default, which is known when all options are. */
static size_t parse_guard(const char *text)
{
    uint64_t size;
    if (!text)
        return SIZE_MAX;
    if (!parse_whole(text, &size) || size < LEAST_GUARD || size > LARGEST_GUARD)
        die(STATUS_USAGE, "--guard: '%s' is no number of bytes from %d to %d", text, LEAST_GUARD,
            LARGEST_GUARD);
    return (size_t)size;
}

static size_t parse_runs(const char *text)
{
    uint64_t count;
    if (!parse_whole(text, &count) || count < 1 || count > SIZE_RUNS_MOST)
        die(STATUS_USAGE, "--runs: '%s' is no number from 1 to %d", text, SIZE_RUNS_MOST);
    return (size_t)count;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct size_arguments *arguments = state->input;
    switch (key) {
    case 'g':
        arguments->granule = parse_granule_argument(text);
        break;
    case 'm':
        arguments->margin = parse_margin(text);
        break;
    case 'f':
        arguments->fits = parse_size_argument("--fits", text);
        break;
    case 't':
        arguments->target = parse_target_argument(text);
        break;
    case 'G':
        arguments->guard_size = parse_guard(text);
        break;
    case 'r':
        arguments->run_count = parse_runs(text);
        break;
    case 'j':
        arguments->is_json = true;
        break;
    case ARGP_KEY_ARG:
        arguments->words[arguments->word_count++] = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    parse,
    "TRACE...\n--runs=N -- PROGRAM [ARGUMENT...]",
    "Prints the smallest pool in which the calls of a trace succeed, what of it is payload, and "
    "the "
    "call that needs the last of it."
    "\vmin_usable is the bytes for blocks, min_pool the least memory, metadata included, that "
    "offers "
    "them: what FFALLOC_POOL and --pool take. Sizes are those that the recorded program asked for: "
    "a program with 32-bit pointers asks for less.",
    sites_children,
    NULL,
    NULL};

/* Sizes one trace and prints it; returns whether it fits. */
static bool report(const struct size_arguments *arguments, const char *path)
{
    struct sizing sizing;
    sizing_take(&sizing, path, path, size_granule(arguments), size_target(arguments),
                arguments->guard_size);
    size_print(&sizing, arguments);
    bool fits = size_judge(path, sizing.min_pool, sizing.failed_before, arguments);
    sizing_close(&sizing);
    return fits;
}

int command_size(int argc, char **argv)
{
    struct size_arguments arguments = {.margin = -1};
    arguments.words = allocate(((size_t)argc + 1) * sizeof *arguments.words);
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (arguments.word_count == 0)
        die(STATUS_USAGE, "size: no %s is named", arguments.run_count ? "program" : "trace");
    if (arguments.guard_size == SIZE_MAX)
        arguments.guard_size = size_word_bits(&arguments) / 4;
    bool fits = true;
    if (arguments.run_count)
        fits = size_runs(&arguments);
    for (size_t i = 0; i < arguments.word_count && !arguments.run_count; i++)
        fits &= report(&arguments, arguments.words[i]);
    finish_output();
    return fits ? STATUS_OK : STATUS_NO;
}
