/* SPDX-License-Identifier: MIT */
/* ffalloc replay: makes the calls of a trace again, and prints where its blocks went. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "json.h"
#include "replay.h"
#include "text.h"

struct arguments {
    const char *path;
    uint64_t pool;
    uint64_t usable;
    size_t granule;
    bool is_verified;
    bool is_json;
};

static const struct argp_option options[] = {
    {"pool", 'p', "SIZE", 0, "memory of the pool, metadata included; default: as much as there is",
     0},
    {"usable", 'u', "BYTES", 0, "memory for blocks, without the metadata", 0},
    {"granule", 'g', "BYTES", 0, "8 to 4096; default: as recorded, or 16", 0},
    {"verify", 'V', NULL, 0, "check every invariant of the heap after each call", 0},
    {"json", 'j', NULL, 0, "print an object", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'p':
        arguments->pool = parse_size_argument("--pool", text);
        break;
    case 'u':
        arguments->usable = parse_size_argument("--usable", text);
        break;
    case 'g':
        arguments->granule = parse_granule_argument(text);
        break;
    case 'V':
        arguments->is_verified = true;
        break;
    case 'j':
        arguments->is_json = true;
        break;
    case ARGP_KEY_ARG:
        if (arguments->path)
            die(STATUS_USAGE, "replay: one trace at a time, not also %s", text);
        arguments->path = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {options,
                                 parse,
                                 "TRACE",
                                 "Makes the calls of a trace again, in a pool of the size given, "
                                 "and prints where its blocks went: "
                                 "the hash is the same on every machine that places them alike."
                                 "\vThe status is 1 if a request failed.",
                                 NULL,
                                 NULL,
                                 NULL};

static void verify(const struct replay *replay, const struct trace *trace)
{
    struct ffalloc_fault fault;
    if (!ffalloc_check(replay->pool, &fault))
        die(STATUS_NO, "%s: after event %" PRIu64 " rule %s does not hold at offset %zu",
            trace->path, trace->event_count, fault.rule, fault.offset);
}

/* Whether the hash is that of the recorded run: "yes", "no", or "unknown" if that had several
 * pools, another granule, or requests that failed here. */
static const char *compare(const struct replay *replay, const struct trace *trace)
{
    cJSON *end = trace->end ? cJSON_Parse(trace->end) : NULL;
    const char *recorded = cJSON_GetStringValue(cJSON_GetObjectItem(end, "offsets"));
    const char *answer = "unknown";
    if (recorded && replay->granule == replay_granule(trace, 0) && replay->failed_count == 0)
        answer = strtoull(recorded, NULL, 16) == replay->hash ? "yes" : "no";
    cJSON_Delete(end);
    return answer;
}

static void print_text(const struct replay *replay, const struct trace *trace,
                       const struct ffalloc_stats *stats)
{
    printf("events          %" PRIu64 "\n"
           "granule         %zu bytes\n"
           "usable          %zu bytes\n"
           "high-water mark %zu bytes\n"
           "failed          %" PRIu64 "%s\n"
           "live at the end %zu block%s, %zu bytes\n"
           "as recorded     %s\n"
           "offsets         %016" PRIx64 "\n",
           trace->event_count, replay->granule, stats->usable_size, stats->high_water_size,
           replay->failed_count,
           replay->failed_count > 1 ? " requests"
           : replay->failed_count   ? " request"
                                    : "",
           stats->block_count, plural(stats->block_count), stats->used_size, compare(replay, trace),
           replay->hash);
    if (replay->failed_count)
        printf("first failure   event %" PRIu64 "\n", replay->first_failed);
}

static void print_json(const struct replay *replay, const struct trace *trace,
                       const struct ffalloc_stats *stats)
{
    char hash[20];
    cJSON *object = cJSON_CreateObject();
    snprintf(hash, sizeof hash, "%016" PRIx64, replay->hash);
    cJSON_AddStringToObject(object, "trace", printable(trace->path));
    json_add(object, "events", trace->event_count);
    json_add(object, "granule", replay->granule);
    json_add(object, "usable", stats->usable_size);
    json_add(object, "high_water", stats->high_water_size);
    json_add(object, "failed", replay->failed_count);
    if (replay->failed_count)
        json_add(object, "first_failed", replay->first_failed);
    json_add(object, "blocks", stats->block_count);
    json_add(object, "used", stats->used_size);
    cJSON_AddStringToObject(object, "as_recorded", compare(replay, trace));
    cJSON_AddStringToObject(object, "offsets", hash);
    json_print(object, true);
}

int command_replay(int argc, char **argv)
{
    struct arguments arguments = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (!arguments.path)
        die(STATUS_USAGE, "replay: no trace is named");
    if (arguments.pool && arguments.usable)
        die(STATUS_USAGE, "replay: --pool and --usable are two ways to say one thing");
    struct trace *trace = trace_open(arguments.path);
    struct trace_event event;
    struct replay replay;
    bool has_event = trace_next(trace, &event); /* by then what was recorded is known */
    need_valid(trace);
    size_t granule = replay_granule(trace, arguments.granule);
    uint64_t pool = arguments.usable
                        ? ffalloc_pool_size_for((size_t)(arguments.usable / granule), granule)
                        : arguments.pool;
    if ((arguments.usable && !pool) || !replay_open(&replay, pool, granule))
        die(STATUS_USAGE, "replay: no pool can have that size");
    for (; has_event; has_event = trace_next(trace, &event)) {
        replay_event(&replay, &event, trace->event_count);
        if (arguments.is_verified)
            verify(&replay, trace);
    }
    need_valid(trace);
    struct ffalloc_stats stats;
    ffalloc_stats(replay.pool, &stats);
    if (arguments.is_json)
        print_json(&replay, trace, &stats);
    else
        print_text(&replay, trace, &stats);
    finish_output();
    replay_close(&replay); /* or memcheck would look for leaks in all of it */
    return replay.failed_count ? STATUS_NO : STATUS_OK;
}
