/* SPDX-License-Identifier: MIT */
/* ffalloc data: a survey as JSON, for the views. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "json.h"
#include "parse.h"
#include "sites.h"
#include "survey.h"
#include "symbols.h"
#include "text.h"

struct arguments {
    const char *path;
    uint64_t pool;
    size_t granule;
    int64_t moment;
    unsigned columns, rows;
};

static const struct argp_option options[] = {
    {"pool", 'p', "SIZE", 0, "memory of the pool; default: what the trace needs", 0},
    {"granule", 'g', "BYTES", 0, "8 to 4096; default: as recorded, or 16", 0},
    {"at", 'a', "MOMENT", 0, "an event's number, mark, peak, fail or end", 0},
    {"columns", 'c', "N", 0, "of the picture, over the events; default 1000", 0},
    {"rows", 'r', "N", 0, "of the picture, over the addresses; default 400", 0},
    {0},
};

static int64_t parse_moment(const char *text)
{
    static const char *const names[] = {"mark", "peak", "fail", "end"};
    char *end;
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return MOMENT_MARK - i;
    long long event = strtoll(text, &end, 10);
    if (*end || event < 1)
        die(STATUS_USAGE, "--at: '%s' is neither an event's number nor mark, peak, fail or end",
            text);
    return event;
}

static unsigned parse_count(const char *text)
{
    uint64_t count;
    if (!parse_whole(text, &count) || count < 1 || count > 20000)
        die(STATUS_USAGE, "'%s' is no number from 1 to 20000", text);
    return (unsigned)count;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'p':
        arguments->pool = parse_size_argument("--pool", text);
        break;
    case 'g':
        arguments->granule = parse_granule_argument(text);
        break;
    case 'a':
        arguments->moment = parse_moment(text);
        break;
    case 'c':
        arguments->columns = parse_count(text);
        break;
    case 'r':
        arguments->rows = parse_count(text);
        break;
    case ARGP_KEY_ARG:
        arguments->path = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,        parse, "TRACE", "Prints what the views show of a trace, as JSON.",
    sites_children, NULL,  NULL};

/* All strings inside as they may be shown. */
static void clean(cJSON *item)
{
    if (cJSON_IsString(item)) {
        char *shown = printable(item->valuestring);
        cJSON_SetValuestring(item, shown);
        free(shown);
    }
    cJSON *child;
    cJSON_ArrayForEach(child, item) clean(child);
}

/* Removes what is not of the kind that it must be. */
static void keep_if(cJSON *object, const char *name, cJSON_bool (*is_kind)(const cJSON *item))
{
    cJSON *item = cJSON_GetObjectItem(object, name);
    if (item && !is_kind(item))
        cJSON_DeleteItemFromObject(object, name);
}

static cJSON_bool is_list_of_words(const cJSON *item)
{
    const cJSON *word;
    bool is_list = cJSON_IsArray(item);
    cJSON_ArrayForEach(word, item) is_list &= cJSON_IsString(word);
    return is_list;
}

/* What a trace says of its process and its end: an object, or null if that makes no sense. */
static void add_object(cJSON *root, const char *name, const char *text)
{
    cJSON *object = text ? cJSON_Parse(text) : NULL;
    if (!cJSON_IsObject(object)) {
        cJSON_Delete(object);
        object = cJSON_CreateNull();
    }
    keep_if(object, "command", is_list_of_words);
    keep_if(object, "program", cJSON_IsString);
    keep_if(object, "process", cJSON_IsNumber);
    keep_if(object, "status", cJSON_IsNumber);
    keep_if(object, "signal", cJSON_IsNumber);
    clean(object);
    cJSON_AddItemToObject(root, name, object);
}

static cJSON *sample_object(const struct sample *sample)
{
    cJSON *object = cJSON_CreateObject();
    json_add(object, "event", sample->event);
    json_add(object, "time", sample->time);
    json_add(object, "payload", sample->payload);
    json_add(object, "used", sample->used);
    json_add(object, "mark", sample->mark);
    json_add(object, "largest_hole", sample->largest_hole);
    json_add(object, "holes", sample->hole_count);
    json_add(object, "blocks", sample->block_count);
    return object;
}

static char hex_digit(unsigned value)
{
    return "0123456789abcdef"[value & 15];
}

/* One of the cells' bytes as hexadecimal text: `count` cells. */
static void add_cells(cJSON *object, const char *name, const struct cell *cells, size_t count,
                      size_t byte_at)
{
    char *text = allocate(count * 2 + 1);
    for (size_t i = 0; i < count; i++) {
        unsigned byte = *((const uint8_t *)&cells[i] + byte_at);
        text[2 * i] = hex_digit(byte >> 4);
        text[2 * i + 1] = hex_digit(byte);
    }
    cJSON_AddItemToObject(object, name, cJSON_CreateString(text));
    free(text);
}

static void add_cell_sites(cJSON *object, const struct cell *cells, size_t count)
{
    int *sites = allocate(count * sizeof *sites);
    for (size_t i = 0; i < count; i++)
        sites[i] = (int)cells[i].site;
    cJSON_AddItemToObject(object, "site", cJSON_CreateIntArray(sites, (int)count));
    free(sites);
}

static void add_picture(cJSON *root, const char *name, const struct cell *cells, size_t count)
{
    cJSON *object = cJSON_AddObjectToObject(root, name);
    add_cells(object, "used", cells, count, offsetof(struct cell, used));
    add_cells(object, "birth", cells, count, offsetof(struct cell, birth));
    add_cell_sites(object, cells, count);
}

static cJSON *frame_object(const struct symbol *symbol, uint64_t address)
{
    cJSON *object = cJSON_CreateObject();
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, address);
    cJSON_AddStringToObject(object, "function", symbol->function);
    cJSON_AddStringToObject(object, "module", symbol->module);
    cJSON_AddStringToObject(object, "address", text);
    if (symbol->file) {
        cJSON_AddStringToObject(object, "file", symbol->file);
        json_add(object, "line", (uint64_t)symbol->line);
    }
    return object;
}

static void add_sites(cJSON *root, const struct survey *survey)
{
    cJSON *array = cJSON_AddArrayToObject(root, "sites");
    struct symbols *symbols = symbols_open(survey->trace->maps);
    uint32_t *same = symbols_merge(symbols, survey->trace);
    for (size_t i = 0; i < survey->site_size && i < survey->trace->stack_count; i++) {
        const struct site *site = &survey->sites[i];
        const struct trace_stack *stack = &survey->trace->stacks[i];
        if (site->alloc_count == 0)
            continue;
        cJSON *object = cJSON_CreateObject();
        json_add(object, "number", i);
        json_add(object, "same_as", same[i]);
        cJSON_AddStringToObject(object, "name", symbols_text(symbols, stack));
        json_add(object, "alloc_count", site->alloc_count);
        json_add(object, "alloc_bytes", site->alloc_bytes);
        json_add(object, "mark_count", site->mark_count);
        json_add(object, "mark_bytes", site->mark_bytes);
        json_add(object, "peak_count", site->peak_count);
        json_add(object, "peak_bytes", site->peak_bytes);
        json_add(object, "end_count", site->live_count);
        json_add(object, "end_bytes", site->live_bytes);
        cJSON *frames = cJSON_AddArrayToObject(object, "frames");
        for (size_t f = 0; f < stack->count; f++)
            cJSON_AddItemToArray(
                frames, frame_object(symbols_find(symbols, stack->frames[f]), stack->frames[f]));
        cJSON_AddItemToArray(array, object);
    }
    free(same);
    symbols_close(symbols);
}

static void add_mark(cJSON *root, const struct survey *survey)
{
    const struct replay *replay = &survey->replay;
    cJSON *mark = cJSON_AddObjectToObject(root, "set_by");
    json_add(mark, "event", replay->at_mark.event);
    cJSON_AddStringToObject(mark, "call", trace_op_name(replay->at_mark.asked.op));
    json_add(mark, "size", replay->at_mark.asked.size);
    json_add(mark, "site", replay->at_mark.asked.site);
    json_add(mark, "payload", replay->at_mark.payload);
    json_add(mark, "rounding", replay->at_mark.rounded - replay->at_mark.payload);
    json_add(mark, "holes", survey->min_usable - replay->at_mark.rounded);
}

static void print_survey(const struct survey *survey)
{
    cJSON *root = cJSON_CreateObject();
    size_t cell_count = (size_t)survey->column_count * survey->row_count;
    cJSON_AddStringToObject(root, "trace", printable(survey->trace->path));
    json_add(root, "granule", survey->granule);
    json_add(root, "events", survey->event_count);
    json_add(root, "duration", survey->duration);
    json_add(root, "threads", survey->thread_count);
    json_add(root, "failed_count", survey->failed_count);
    json_add(root, "failed_event", survey->failed_event);
    json_add(root, "mark", survey->replay.mark);
    size_t granules = (size_t)(survey->min_usable / survey->granule);
    json_add(root, "min_pool", ffalloc_pool_size_for(granules, survey->granule));
    json_add(root, "usable", survey->usable);
    json_add(root, "payload_peak", survey->replay.payload_peak);
    json_add(root, "payload_peak_event", survey->replay.payload_peak_event);
    add_mark(root, survey);
    add_object(root, "process", survey->trace->process);
    add_object(root, "end", survey->trace->end);
    cJSON *sizes = cJSON_AddArrayToObject(root, "size_counts");
    for (unsigned i = 0; i < SIZE_CLASSES; i++)
        cJSON_AddItemToArray(sizes, cJSON_CreateNumber((double)survey->size_counts[i]));
    json_add(root, "columns", survey->column_count);
    json_add(root, "rows", survey->row_count);
    json_add(root, "row_bytes", survey->row_bytes);
    cJSON *samples = cJSON_AddArrayToObject(root, "samples");
    for (unsigned i = 0; i < survey->column_count; i++)
        cJSON_AddItemToArray(samples, sample_object(&survey->samples[i]));
    cJSON_AddItemToObject(root, "moment", sample_object(&survey->at_moment));
    add_picture(root, "life", survey->cells, cell_count);
    add_picture(root, "now", survey->cells + cell_count, survey->row_count);
    add_sites(root, survey);
    json_print(root, false);
}

int command_data(int argc, char **argv)
{
    struct arguments arguments = {.moment = MOMENT_MARK, .columns = 1000, .rows = 400};
    struct survey survey;
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (!arguments.path)
        die(STATUS_USAGE, "data: no trace is named");
    survey_take(&survey, arguments.path, arguments.pool, arguments.granule, arguments.moment,
                arguments.columns, arguments.rows);
    print_survey(&survey);
    finish_output();
    return STATUS_OK;
}
