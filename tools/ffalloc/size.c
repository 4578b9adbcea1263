/* SPDX-License-Identifier: MIT */
/*
 * ffalloc size: the smallest pool in which a trace's calls succeed.
 *
 * One replay in a pool without end tells it: the same calls in a smaller pool place every block at
 * the same offset, until one does not fit (promise 2 of README.md). So the end of the highest block
 * is the answer. Requests aligned above the granule are the exception: they look at a bounded
 * number of holes, and a pool's last hole counts. With such requests in the trace the answer is
 * tried, and with a granule less, until it is right.
 */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "replay.h"
#include "symbols.h"

struct arguments {
    char **paths;
    size_t path_count;
    size_t granule;
    uint64_t fits;   /* bytes, 0: not asked */
    double margin;   /* a part of the pool; below 0: not asked */
    unsigned target; /* of ffalloc_target_pool_size_for; 0: this machine */
    bool is_json;
};

struct sizing {
    struct replay replay; /* of the first run, its pool closed */
    struct trace *trace;
    uint64_t event_count;
    char *site;             /* of the call that set the mark, "" if not known */
    uint64_t failed_before; /* requests that failed while recording */
    bool has_aligned;
    uint64_t min_usable;
    uint64_t min_pool;
};

static const struct argp_option options[] = {
    {"granule", 'g', "BYTES", 0,
     "8 to 4096; default: as recorded, or 16; 8 with a target of 32 bits", 0},
    {"margin", 'm', "PERCENT", 0, "suggest a pool so much larger, such as 10%", 0},
    {"fits", 'f', "SIZE", 0, "the status is 0 if the pool is at most so large, else 1", 0},
    {"target", 't', "BITS", 0,
     "a device of 32 or 64 bits, or 32-small or 64-small with FFALLOC_SMALL; default: this machine",
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
    case 'j':
        arguments->is_json = true;
        break;
    case ARGP_KEY_ARG:
        arguments->paths[arguments->path_count++] = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    parse,
    "TRACE...",
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

/* The largest offset that a block's end reaches in a pool of that many usable bytes; 0 if a
 * request fails there. */
static uint64_t mark_within(struct sizing *sizing, uint64_t usable)
{
    struct trace_event event;
    struct replay replay;
    size_t granule = sizing->replay.granule;
    size_t pool = ffalloc_pool_size_for((size_t)(usable / granule), granule);
    if (!pool || !replay_open(&replay, pool, granule))
        return 0;
    if (!trace_rewind(sizing->trace))
        need_valid(sizing->trace);
    bool succeeds = true;
    while (succeeds && trace_next(sizing->trace, &event))
        succeeds = replay_event(&replay, &event, sizing->trace->event_count);
    need_valid(sizing->trace);
    replay_close(&replay);
    return succeeds ? replay.mark : 0;
}

/* With aligned requests: the least number of bytes around the first run's that succeeds, while one
 * granule less fails. */
static uint64_t search(struct sizing *sizing, uint64_t usable)
{
    size_t granule = sizing->replay.granule;
    uint64_t mark = mark_within(sizing, usable);
    while (mark == 0) {
        usable += granule;
        mark = mark_within(sizing, usable);
    }
    for (; mark > granule; usable = mark) {
        uint64_t less = mark_within(sizing, mark - granule);
        if (less == 0)
            return mark;
        mark = less;
    }
    return usable;
}

/* All of the trace has been read, with what was mapped at its end. */
static char *site_of_mark(const struct trace *trace, const struct replay *replay)
{
    struct symbols *symbols = symbols_open(trace->maps);
    char *site = strdup(symbols_text(symbols, &trace->stacks[replay->at_mark.asked.site]));
    symbols_close(symbols);
    return site;
}

static void size_trace(struct sizing *sizing, const struct arguments *arguments, const char *path)
{
    struct trace_event event;
    struct trace *trace = sizing->trace = trace_open(path);
    bool has_event = trace_next(trace, &event);
    need_valid(trace);
    size_t granule = replay_granule(trace, arguments->granule);
    if (!arguments->granule && word_bits(arguments) == 32)
        granule = 8;
    struct replay *replay = &sizing->replay;
    replay_open(replay, 0, granule);
    for (; has_event; has_event = trace_next(trace, &event)) {
        sizing->failed_before += event.op == TRACE_FAILED;
        sizing->has_aligned |= event.log2align > replay->granule_log2;
        if (!replay_event(replay, &event, trace->event_count))
            die(STATUS_FAILED,
                "%s: event %" PRIu64 " asks for %" PRIu64 " bytes, more than there is", path,
                trace->event_count, event.size);
    }
    need_valid(trace);
    replay_close(replay);
    sizing->event_count = trace->event_count;
    sizing->site = site_of_mark(trace, replay);
    sizing->min_usable = replay->mark ? replay->mark : granule;
    if (sizing->has_aligned)
        sizing->min_usable = search(sizing, sizing->min_usable);
    sizing->min_pool = ffalloc_target_pool_size_for(
        target(arguments), (size_t)(sizing->min_usable / granule), granule);
    if (sizing->min_pool == 0)
        die(STATUS_FAILED, "%s: %s is more than a%s pool of %u bits can have", path,
            person(sizing->min_usable), is_small(arguments) ? " small" : "", word_bits(arguments));
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

static uint64_t with_margin(const struct sizing *sizing, const struct arguments *arguments)
{
    double margin = arguments->margin > 0 ? arguments->margin : 0;
    return (uint64_t)((double)sizing->min_pool * (1 + margin) + 0.5);
}

static void print_text(const struct sizing *sizing, const struct arguments *arguments)
{
    const char *site = sizing->site;
    const struct replay *replay = &sizing->replay;
    uint64_t payload = replay->at_mark.payload;
    uint64_t rounding = replay->at_mark.rounded - payload;
    uint64_t holes = sizing->min_usable - replay->at_mark.rounded;
    if (arguments->path_count > 1)
        printf("%s\n", sizing->trace->path);
    printf("events         %" PRIu64 ", granule %zu\n", sizing->event_count, replay->granule);
    if (sizing->failed_before)
        printf("failed         %" PRIu64 " requests while recording: they are left out\n",
               sizing->failed_before);
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
    if (arguments->margin >= 0)
        printf("suggest        %" PRIu64 " bytes, with %g %% to spare\n",
               with_margin(sizing, arguments), arguments->margin * 100);
}

static void print_json(const struct sizing *sizing, const struct arguments *arguments)
{
    const struct replay *replay = &sizing->replay;
    uint64_t payload = replay->at_mark.payload;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "trace", sizing->trace->path);
    cJSON_AddNumberToObject(object, "events", (double)sizing->event_count);
    cJSON_AddNumberToObject(object, "failed_while_recording", (double)sizing->failed_before);
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
    if (arguments->margin >= 0)
        cJSON_AddNumberToObject(object, "suggested_pool", (double)with_margin(sizing, arguments));
    if (arguments->fits)
        cJSON_AddBoolToObject(object, "fits", with_margin(sizing, arguments) <= arguments->fits);
    char *text = cJSON_Print(object);
    puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

/* Sizes one trace and prints it; returns whether it fits. */
static bool report(const struct arguments *arguments, const char *path)
{
    struct sizing sizing = {0};
    size_trace(&sizing, arguments, path);
    (arguments->is_json ? print_json : print_text)(&sizing, arguments);
    trace_close(sizing.trace);
    free(sizing.site);
    uint64_t needed = with_margin(&sizing, arguments);
    if (arguments->fits && needed > arguments->fits)
        say("%s does not fit: it needs %" PRIu64 " bytes, the pool has %" PRIu64 " (%" PRIu64
            " too few)",
            path, needed, arguments->fits, needed - arguments->fits);
    return !arguments->fits || needed <= arguments->fits;
}

int command_size(int argc, char **argv)
{
    struct arguments arguments = {.margin = -1};
    arguments.paths = allocate((size_t)argc * sizeof *arguments.paths);
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (arguments.path_count == 0)
        die(STATUS_USAGE, "size: no trace is named");
    bool fits = true;
    for (size_t i = 0; i < arguments.path_count; i++)
        fits &= report(&arguments, arguments.paths[i]);
    finish_output();
    return fits ? STATUS_OK : STATUS_NO;
}
