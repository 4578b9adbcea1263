/* SPDX-License-Identifier: MIT */
/* ffalloc size: prints the smallest pool of traces, or of several recordings of a program. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "parse.h"
#include "record.h"
#include "sizing.h"
#include "text.h"

#define RUNS_MOST 1000

struct arguments {
    char **words; /* traces; with runs a program and its arguments, then NULL */
    size_t word_count;
    size_t run_count; /* 0: traces are sized */
    size_t granule;
    uint64_t fits;   /* bytes, 0: not asked */
    double margin;   /* a part of the pool; below 0: not asked */
    unsigned target; /* of ffalloc_target_pool_size_for; 0: this machine */
    bool is_json;
};

static const struct argp_option options[] = {
    {"granule", 'g', "BYTES", 0,
     "8 to 4096; default: as recorded, or 16; 8 with a target of 32 bits", 0},
    {"margin", 'm', "PERCENT", 0, "suggest a pool so much larger, such as 10%", 0},
    {"fits", 'f', "SIZE", 0, "the status is 0 if the pool is at most so large, else 1", 0},
    {"target", 't', "BITS", 0,
     "a device of 32 or 64 bits, or 32-small or 64-small with FFALLOC_SMALL; default: this machine",
     0},
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

static size_t parse_runs(const char *text)
{
    uint64_t count;
    if (!parse_whole(text, &count) || count < 1 || count > RUNS_MOST)
        die(STATUS_USAGE, "--runs: '%s' is no number from 1 to %d", text, RUNS_MOST);
    return (size_t)count;
}

static unsigned parse_target(const char *text)
{
    static const struct {
        const char *text;
        unsigned target;
    } targets[] = {{"32", 32},
                   {"64", 64},
                   {"32-small", 32 | FFALLOC_TARGET_SMALL},
                   {"64-small", 64 | FFALLOC_TARGET_SMALL}};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        if (strcmp(text, targets[i].text) == 0)
            return targets[i].target;
    die(STATUS_USAGE, "--target: '%s' is none of 32, 64, 32-small, 64-small", text);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
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
        arguments->target = parse_target(text);
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
    NULL,
    NULL,
    NULL};

static unsigned target(const struct arguments *arguments)
{
    return arguments->target ? arguments->target : sizeof(size_t) * 8;
}

static unsigned word_bits(const struct arguments *arguments)
{
    return target(arguments) & ~FFALLOC_TARGET_SMALL;
}

static bool is_small(const struct arguments *arguments)
{
    return target(arguments) & FFALLOC_TARGET_SMALL;
}

static const char *target_text(const struct arguments *arguments)
{
    if (is_small(arguments))
        return word_bits(arguments) == 32 ? " on a small 32-bit target"
                                          : " on a small 64-bit target";
    return word_bits(arguments) == 32 ? " on a 32-bit target" : "";
}

/* The variables with which a desktop run has exactly that pool, after a colon; of another 64-bit
 * machine's there are none. */
static const char *variables_text(const struct sizing *sizing, const struct arguments *arguments)
{
    static char text[80];
    static const char *const devices[] = {":cortex-m", ":cortex-m-small"};
    bool is_device = word_bits(arguments) == 32;
    size_t granule = sizing->replay.granule;
    if (!is_device && is_small(arguments))
        return "";
    int length = snprintf(text, sizeof text, ": FFALLOC_POOL=%" PRIu64 "%s", sizing->min_pool,
                          is_device ? devices[is_small(arguments)] : "");
    if (granule != (is_device ? 8 : 2 * sizeof(size_t)))
        snprintf(text + length, sizeof text - (size_t)length, " FFALLOC_GRANULE=%zu", granule);
    return text;
}

/* The call that set the mark, as "malloc(2048)". */
static const char *call_text(const struct trace_event *asked)
{
    static char text[80];
    if (asked->log2align)
        snprintf(text, sizeof text, "%s(%" PRIu64 ", %" PRIu64 ")", trace_op_name(asked->op),
                 (uint64_t)1 << asked->log2align, asked->size);
    else
        snprintf(text, sizeof text, "%s(%" PRIu64 ")", trace_op_name(asked->op), asked->size);
    return text;
}

static uint64_t with_margin(uint64_t pool, const struct arguments *arguments)
{
    double margin = arguments->margin > 0 ? arguments->margin : 0;
    return (uint64_t)((double)pool * (1 + margin) + 0.5);
}

static void print_suggestion(uint64_t pool, const struct arguments *arguments)
{
    if (arguments->margin >= 0)
        printf("suggest        %" PRIu64 " bytes, with %g %% to spare\n",
               with_margin(pool, arguments), arguments->margin * 100);
}

/* The answers about a pool that both kinds of object have. */
static void add_answers(cJSON *object, uint64_t pool, bool has_failed,
                        const struct arguments *arguments)
{
    uint64_t needed = with_margin(pool, arguments);
    if (arguments->margin >= 0)
        cJSON_AddNumberToObject(object, "suggested_pool", (double)needed);
    if (arguments->fits)
        cJSON_AddBoolToObject(object, "fits", !has_failed && needed <= arguments->fits);
}

static void print_object(cJSON *object)
{
    char *text = cJSON_Print(object);
    puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

/* Why the number below is not that of every run. */
static void print_doubts(const struct sizing *sizing)
{
    if (sizing->failed_before)
        printf("failed         %" PRIu64
               " request%s while recording: left out, so the pool below is "
               "too small for %s\n",
               sizing->failed_before, plural(sizing->failed_before),
               sizing->failed_before == 1 ? "it" : "them");
    if (sizing->thread_count > 1)
        printf("threads        %u: exact for this order of their calls, which differs from run to "
               "run; "
               "several runs: ffalloc size --runs 9 -- PROGRAM\n",
               sizing->thread_count);
    if ((uint64_t)1 << sizing->largest_log2 > REPLAY_LARGEST_ALIGNMENT)
        printf(
            "alignment      up to %s: exact in a pool that begins at a multiple of that; those of "
            "libffalloc.so begin at one of %s\n",
            person((uint64_t)1 << sizing->largest_log2), person(REPLAY_LARGEST_ALIGNMENT));
}

static void print_text(const struct sizing *sizing, const struct arguments *arguments)
{
    const char *site = sizing->site;
    const struct replay *replay = &sizing->replay;
    uint64_t payload = replay->at_mark.payload;
    uint64_t rounding = replay->at_mark.rounded - payload;
    uint64_t holes = sizing->min_usable - replay->at_mark.rounded;
    if (arguments->word_count > 1)
        printf("%s\n", printable(sizing->trace->path));
    printf("events         %" PRIu64 ", granule %zu\n", sizing->event_count, replay->granule);
    print_doubts(sizing);
    printf("payload peak   %" PRIu64 " bytes (event %" PRIu64 ")\n", replay->payload_peak,
           replay->payload_peak_event);
    printf("minimum pool   %" PRIu64 " bytes (%s)%s%s\n", sizing->min_pool,
           person(sizing->min_pool), target_text(arguments), variables_text(sizing, arguments));
    printf("             = %" PRIu64 " payload + %" PRIu64 " rounding + %" PRIu64
           " holes + %" PRIu64 " metadata\n",
           payload, rounding, holes, sizing->min_pool - sizing->min_usable);
    if (replay->at_mark.event)
        printf("set by         %s, event %" PRIu64 "%s%s\n", call_text(&replay->at_mark.asked),
               replay->at_mark.event, *site ? ", at " : "", site);
    print_suggestion(sizing->min_pool, arguments);
}

static void print_json(const struct sizing *sizing, const struct arguments *arguments)
{
    const struct replay *replay = &sizing->replay;
    uint64_t payload = replay->at_mark.payload;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "trace", printable(sizing->trace->path));
    cJSON_AddNumberToObject(object, "events", (double)sizing->event_count);
    cJSON_AddNumberToObject(object, "failed_while_recording", (double)sizing->failed_before);
    cJSON_AddNumberToObject(object, "threads", sizing->thread_count);
    cJSON_AddBoolToObject(object, "is_exact", sizing_is_exact(sizing));
    cJSON_AddNumberToObject(object, "granule", (double)replay->granule);
    cJSON_AddNumberToObject(object, "target_bits", word_bits(arguments));
    cJSON_AddBoolToObject(object, "target_small", is_small(arguments));
    cJSON_AddNumberToObject(object, "min_usable", (double)sizing->min_usable);
    cJSON_AddNumberToObject(object, "min_pool", (double)sizing->min_pool);
    cJSON_AddNumberToObject(object, "metadata", (double)(sizing->min_pool - sizing->min_usable));
    cJSON_AddNumberToObject(object, "payload_peak", (double)replay->payload_peak);
    cJSON_AddNumberToObject(object, "payload_peak_event", (double)replay->payload_peak_event);
    cJSON *mark = cJSON_AddObjectToObject(object, "set_by");
    cJSON_AddNumberToObject(mark, "event", (double)replay->at_mark.event);
    cJSON_AddStringToObject(mark, "call", trace_op_name(replay->at_mark.asked.op));
    cJSON_AddNumberToObject(mark, "size", (double)replay->at_mark.asked.size);
    cJSON_AddNumberToObject(mark, "thread", replay->at_mark.asked.thread);
    if (*sizing->site)
        cJSON_AddStringToObject(mark, "site", sizing->site);
    cJSON_AddNumberToObject(mark, "payload", (double)payload);
    cJSON_AddNumberToObject(mark, "rounding", (double)(replay->at_mark.rounded - payload));
    cJSON_AddNumberToObject(mark, "holes",
                            (double)sizing->min_usable - (double)replay->at_mark.rounded);
    add_answers(object, sizing->min_pool, sizing->failed_before > 0, arguments);
    print_object(object);
}

/* Whether a pool fits; says so if it does not, or that cannot be told. */
static bool judge(const char *name, uint64_t pool, uint64_t failed_count,
                  const struct arguments *arguments)
{
    uint64_t needed = with_margin(pool, arguments);
    if (!arguments->fits || (needed <= arguments->fits && failed_count == 0))
        return true;
    if (needed > arguments->fits)
        say("%s does not fit: it needs %" PRIu64 " bytes, the pool has %" PRIu64 " (%" PRIu64
            " too few)",
            name, needed, arguments->fits, needed - arguments->fits);
    else
        say("whether %s fits is not known: %" PRIu64 " request%s failed while it was recorded",
            name, failed_count, plural(failed_count));
    return false;
}

static size_t granule_for(const struct arguments *arguments)
{
    return !arguments->granule && word_bits(arguments) == 32 ? 8 : arguments->granule;
}

/* Sizes one trace and prints it; returns whether it fits. */
static bool report(const struct arguments *arguments, const char *path)
{
    struct sizing sizing;
    sizing_take(&sizing, path, path, granule_for(arguments), target(arguments));
    (arguments->is_json ? print_json : print_text)(&sizing, arguments);
    bool fits = judge(path, sizing.min_pool, sizing.failed_before, arguments);
    sizing_close(&sizing);
    return fits;
}

/* Several recordings ------------------------------------------------------------------------- */

struct runs {
    uint64_t pools[RUNS_MOST]; /* ascending, once all are there */
    unsigned thread_count;     /* the most */
    uint64_t failed_count;     /* the most */
    size_t granule;
};

static int compare_pools(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void take_runs(struct runs *runs, const struct arguments *arguments)
{
    const char *program = arguments->words[0];
    for (size_t i = 0; i < arguments->run_count; i++) {
        struct sizing sizing;
        char *path = record_temporarily(arguments->words);
        sizing_take(&sizing, path, program, granule_for(arguments), target(arguments));
        record_remove(path);
        runs->pools[i] = sizing.min_pool;
        runs->granule = sizing.replay.granule;
        if (sizing.thread_count > runs->thread_count)
            runs->thread_count = sizing.thread_count;
        if (sizing.failed_before > runs->failed_count)
            runs->failed_count = sizing.failed_before;
        sizing_close(&sizing);
    }
    qsort(runs->pools, arguments->run_count, sizeof *runs->pools, compare_pools);
}

static void print_runs(const struct runs *runs, const struct arguments *arguments)
{
    const uint64_t *pools = runs->pools;
    size_t count = arguments->run_count;
    uint64_t median = pools[count / 2], largest = pools[count - 1];
    printf("runs           %zu, of up to %u thread%s, granule %zu\n", count, runs->thread_count,
           plural(runs->thread_count), runs->granule);
    printf("least pool     %" PRIu64 " bytes (%s)\n", pools[0], person(pools[0]));
    printf("median         %" PRIu64 " bytes (%s)\n", median, person(median));
    printf("largest        %" PRIu64 " bytes (%s)%s: a run to come may need more\n", largest,
           person(largest), target_text(arguments));
    print_suggestion(largest, arguments);
}

static void print_runs_json(const struct runs *runs, const struct arguments *arguments)
{
    size_t count = arguments->run_count;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "runs", (double)count);
    cJSON_AddNumberToObject(object, "threads", runs->thread_count);
    cJSON_AddNumberToObject(object, "failed_while_recording", (double)runs->failed_count);
    cJSON_AddNumberToObject(object, "granule", (double)runs->granule);
    cJSON_AddNumberToObject(object, "target_bits", word_bits(arguments));
    cJSON_AddBoolToObject(object, "target_small", is_small(arguments));
    cJSON_AddNumberToObject(object, "least_pool", (double)runs->pools[0]);
    cJSON_AddNumberToObject(object, "median_pool", (double)runs->pools[count / 2]);
    cJSON_AddNumberToObject(object, "largest_pool", (double)runs->pools[count - 1]);
    add_answers(object, runs->pools[count - 1], runs->failed_count > 0, arguments);
    print_object(object);
}

static bool report_runs(const struct arguments *arguments)
{
    static struct runs runs;
    take_runs(&runs, arguments);
    (arguments->is_json ? print_runs_json : print_runs)(&runs, arguments);
    uint64_t largest = runs.pools[arguments->run_count - 1];
    return judge(arguments->words[0], largest, runs.failed_count, arguments);
}

int command_size(int argc, char **argv)
{
    struct arguments arguments = {.margin = -1};
    arguments.words = allocate(((size_t)argc + 1) * sizeof *arguments.words);
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (arguments.word_count == 0)
        die(STATUS_USAGE, "size: no %s is named", arguments.run_count ? "program" : "trace");
    bool fits = true;
    if (arguments.run_count)
        fits = report_runs(&arguments);
    for (size_t i = 0; i < arguments.word_count && !arguments.run_count; i++)
        fits &= report(&arguments, arguments.words[i]);
    finish_output();
    return fits ? STATUS_OK : STATUS_NO;
}
