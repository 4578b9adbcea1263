/* SPDX-License-Identifier: MIT */
/* The answer about one trace, as text and as JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "json.h"
#include "size.h"
#include "text.h"

const char *size_target_text(const struct size_arguments *arguments)
{
    if (size_is_small(arguments))
        return size_word_bits(arguments) == 32 ? " on a small 32-bit target"
                                               : " on a small 64-bit target";
    return size_word_bits(arguments) == 32 ? " on a 32-bit target" : "";
}

/* The variables with which a desktop run has exactly that pool, after a colon; of another 64-bit
 * machine's there are none. */
static const char *variables_text(const struct sizing *sizing,
                                  const struct size_arguments *arguments)
{
    static char text[80];
    static const char *const devices[] = {":cortex-m", ":cortex-m-small"};
    bool is_device = size_word_bits(arguments) == 32;
    size_t granule = sizing->replay.granule;
    if ((!is_device && size_is_small(arguments)) || arguments->guard_size)
        return "";
    int length = snprintf(text, sizeof text, ": FFALLOC_POOL=%" PRIu64 "%s", sizing->min_pool,
                          is_device ? devices[size_is_small(arguments)] : "");
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

static uint64_t with_margin(uint64_t pool, const struct size_arguments *arguments)
{
    double margin = arguments->margin > 0 ? arguments->margin : 0;
    return (uint64_t)((double)pool * (1 + margin) + 0.5);
}

void size_print_suggestion(uint64_t pool, const struct size_arguments *arguments)
{
    if (arguments->margin >= 0)
        printf("suggest        %" PRIu64 " bytes, with %g %% to spare\n",
               with_margin(pool, arguments), arguments->margin * 100);
}

void size_add_answers(cJSON *object, uint64_t pool, bool has_failed,
                      const struct size_arguments *arguments)
{
    uint64_t needed = with_margin(pool, arguments);
    if (arguments->margin >= 0)
        json_add(object, "suggested_pool", needed);
    if (arguments->fits)
        cJSON_AddBoolToObject(object, "fits", !has_failed && needed <= arguments->fits);
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

static void print_text(const struct sizing *sizing, const struct size_arguments *arguments)
{
    const char *site = sizing->site;
    const struct replay *replay = &sizing->replay;
    uint64_t payload = replay->at_mark.payload;
    uint64_t rounding = replay->at_mark.rounded - payload;
    uint64_t holes = sizing->min_usable - replay->at_mark.rounded;
    if (arguments->word_count > 1)
        printf("%s\n", printable(sizing->trace->path));
    printf("events         %" PRIu64 ", granule %zu", sizing->event_count, replay->granule);
    if (arguments->guard_size)
        printf(", guards of %zu bytes", arguments->guard_size);
    printf("\n");
    print_doubts(sizing);
    printf("payload peak   %" PRIu64 " bytes (event %" PRIu64 ")\n", replay->payload_peak,
           replay->payload_peak_event);
    printf("minimum pool   %" PRIu64 " bytes (%s)%s%s\n", sizing->min_pool,
           person(sizing->min_pool), size_target_text(arguments),
           variables_text(sizing, arguments));
    printf("             = %" PRIu64 " payload + %" PRIu64 " rounding%s + %" PRIu64
           " holes + %" PRIu64 " metadata\n",
           payload, rounding, arguments->guard_size ? " and guards" : "", holes,
           sizing->min_pool - sizing->min_usable);
    if (replay->at_mark.event)
        printf("set by         %s, event %" PRIu64 "%s%s\n", call_text(&replay->at_mark.asked),
               replay->at_mark.event, *site ? ", at " : "", site);
    size_print_suggestion(sizing->min_pool, arguments);
}

static void print_json(const struct sizing *sizing, const struct size_arguments *arguments)
{
    const struct replay *replay = &sizing->replay;
    uint64_t payload = replay->at_mark.payload;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "trace", printable(sizing->trace->path));
    json_add(object, "events", sizing->event_count);
    json_add(object, "failed_while_recording", sizing->failed_before);
    json_add(object, "threads", sizing->thread_count);
    cJSON_AddBoolToObject(object, "is_exact", sizing_is_exact(sizing));
    json_add(object, "granule", replay->granule);
    json_add(object, "target_bits", size_word_bits(arguments));
    cJSON_AddBoolToObject(object, "target_small", size_is_small(arguments));
    json_add(object, "guard", arguments->guard_size);
    json_add(object, "min_usable", sizing->min_usable);
    json_add(object, "min_pool", sizing->min_pool);
    json_add(object, "mark_pool", sizing->mark_pool);
    json_add(object, "metadata", (sizing->min_pool - sizing->min_usable));
    json_add(object, "payload_peak", replay->payload_peak);
    json_add(object, "payload_peak_event", replay->payload_peak_event);
    cJSON *mark = cJSON_AddObjectToObject(object, "set_by");
    json_add(mark, "event", replay->at_mark.event);
    cJSON_AddStringToObject(mark, "call", trace_op_name(replay->at_mark.asked.op));
    json_add(mark, "size", replay->at_mark.asked.size);
    json_add(mark, "thread", replay->at_mark.asked.thread);
    if (*sizing->site)
        cJSON_AddStringToObject(mark, "site", sizing->site);
    json_add(mark, "payload", payload);
    json_add(mark, "rounding", (replay->at_mark.rounded - payload));
    cJSON_AddNumberToObject(mark, "holes",
                            (double)sizing->min_usable - (double)replay->at_mark.rounded);
    size_add_answers(object, sizing->min_pool, sizing->failed_before > 0, arguments);
    json_print(object, true);
}

void size_print(const struct sizing *sizing, const struct size_arguments *arguments)
{
    (arguments->is_json ? print_json : print_text)(sizing, arguments);
}

bool size_judge(const char *name, uint64_t pool, uint64_t failed_count,
                const struct size_arguments *arguments)
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
