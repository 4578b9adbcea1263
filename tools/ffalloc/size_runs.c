/* SPDX-License-Identifier: MIT */
/* The answer about several recordings of a program. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "json.h"
#include "record.h"
#include "size.h"

struct runs {
    uint64_t pools[SIZE_RUNS_MOST]; /* ascending, once all are there */
    unsigned thread_count;          /* the most */
    uint64_t failed_count;          /* the most */
    size_t granule;
};

static int compare_pools(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void take_runs(struct runs *runs, const struct size_arguments *arguments)
{
    const char *program = arguments->words[0];
    for (size_t i = 0; i < arguments->run_count; i++) {
        struct sizing sizing;
        char *path = record_temporarily(arguments->words);
        sizing_take(&sizing, path, program, size_granule(arguments), size_target(arguments),
                    arguments->guard_size);
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

static void print_runs(const struct runs *runs, const struct size_arguments *arguments)
{
    const uint64_t *pools = runs->pools;
    size_t count = arguments->run_count;
    uint64_t median = pools[count / 2], largest = pools[count - 1];
    printf("runs           %zu, of up to %u thread%s, granule %zu\n", count, runs->thread_count,
           plural(runs->thread_count), runs->granule);
    printf("least pool     %" PRIu64 " bytes (%s)\n", pools[0], person(pools[0]));
    printf("median         %" PRIu64 " bytes (%s)\n", median, person(median));
    printf("largest        %" PRIu64 " bytes (%s)%s: a run to come may need more\n", largest,
           person(largest), size_target_text(arguments));
    size_print_suggestion(largest, arguments);
}

static void print_runs_json(const struct runs *runs, const struct size_arguments *arguments)
{
    size_t count = arguments->run_count;
    cJSON *object = cJSON_CreateObject();
    json_add(object, "runs", count);
    json_add(object, "threads", runs->thread_count);
    json_add(object, "failed_while_recording", runs->failed_count);
    json_add(object, "granule", runs->granule);
    json_add(object, "target_bits", size_word_bits(arguments));
    cJSON_AddBoolToObject(object, "target_small", size_is_small(arguments));
    json_add(object, "least_pool", runs->pools[0]);
    json_add(object, "median_pool", runs->pools[count / 2]);
    json_add(object, "largest_pool", runs->pools[count - 1]);
    size_add_answers(object, runs->pools[count - 1], runs->failed_count > 0, arguments);
    json_print(object, true);
}

bool size_runs(const struct size_arguments *arguments)
{
    static struct runs runs;
    take_runs(&runs, arguments);
    (arguments->is_json ? print_runs_json : print_runs)(&runs, arguments);
    uint64_t largest = runs.pools[arguments->run_count - 1];
    return size_judge(arguments->words[0], largest, runs.failed_count, arguments);
}
