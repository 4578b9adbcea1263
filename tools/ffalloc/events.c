/* SPDX-License-Identifier: MIT */
/*
 * ffalloc events: a trace event by event, as CSV or as heaptrack's interpreted data file (version
 * 3). The latter has a line for each distinct string (s), return address (i), frame of a stack (t)
 * and pair of a size and a stack (a), numbered as they come, then one for each allocation (+),
 * free (-) and millisecond (c); numbers are hexadecimal.
 */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "replay.h"
#include "sites.h"
#include "stacks.h"
#include "symbols.h"
#include "text.h"

struct printer {
    struct trace *trace;
    struct symbols *symbols;
    struct replay replay;
    struct stacks strings, addresses, pairs; /* numbers for each distinct one */
    uint32_t frame_count;
    uint32_t *stack_frames; /* by stack: its innermost frame's number; 0: not yet written */
    size_t stack_size;
    uint64_t *live; /* by id: the number of its pair, from 1; 0: not live */
    size_t live_size;
    uint64_t milliseconds;
};

/* CSV ----------------------------------------------------------------------------------- */

/* A field that may have commas and quotes. A spreadsheet takes what begins so for a formula. */
static void print_field(const char *text)
{
    putchar('"');
    if (*text && strchr("=+-@", *text))
        putchar('\'');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_csv_event(struct printer *printer, const struct trace_event *event)
{
    const struct trace *trace = printer->trace;
    bool is_placed = replay_event(&printer->replay, event, trace->event_count) &&
                     event->op != TRACE_FREE && event->op != TRACE_FAILED;
    printf("%" PRIu64 ",%" PRIu64 ",%u,%s,", trace->event_count, trace->time, event->thread,
           trace_op_name(event->op));
    if (event->id != TRACE_NO_ID)
        printf("%" PRIu32, event->id);
    printf(",%" PRIu64 ",%" PRIu64 ",", event->size,
           event->log2align ? (uint64_t)1 << event->log2align : 0);
    if (is_placed)
        printf("%" PRIu64, replay_offset(&printer->replay, event->id));
    putchar(',');
    if (event->site != 0)
        print_field(symbols_text(printer->symbols, &trace->stacks[event->site]));
    putchar('\n');
}

/* heaptrack ----------------------------------------------------------------------------- */

/* The number of a string, which is written if it is new. */
static uint32_t string_number(struct printer *printer, const char *text)
{
    uint64_t words[128] = {0};
    bool is_new;
    size_t length = strnlen(text, sizeof words - 1);
    memcpy(words, text, length);
    uint32_t number = stacks_number(&printer->strings, words, length / sizeof *words + 1, &is_new);
    if (is_new)
        printf("s %zx %.*s\n", length, (int)length, text);
    return number;
}

static uint32_t address_number(struct printer *printer, uint64_t address)
{
    bool is_new;
    uint32_t number = stacks_number(&printer->addresses, &address, 1, &is_new);
    if (!is_new)
        return number;
    const struct symbol *symbol = symbols_find(printer->symbols, address);
    uint32_t module = *symbol->module ? string_number(printer, symbol->module) : 0;
    uint32_t function = *symbol->function != '?' ? string_number(printer, symbol->function) : 0;
    uint32_t file = symbol->file ? string_number(printer, symbol->file) : 0;
    printf("i %" PRIx64 " %x", address, module);
    if (function)
        printf(" %x", function);
    if (function && file)
        printf(" %x %x", file, (unsigned)symbol->line);
    putchar('\n');
    return number;
}

/* The number of a stack's innermost frame; its frames are written outermost first. */
static uint32_t stack_frame(struct printer *printer, uint32_t stack)
{
    printer->stack_frames = grow(printer->stack_frames, &printer->stack_size, (size_t)stack + 1,
                                 sizeof *printer->stack_frames);
    uint32_t *known = &printer->stack_frames[stack];
    if (*known == 0) {
        uint32_t parent = 0;
        const struct trace_stack *frames = &printer->trace->stacks[stack];
        for (size_t i = frames->count; i-- > 0;) {
            uint32_t address = address_number(printer, frames->frames[i]);
            printf("t %x %x\n", address, parent);
            parent = ++printer->frame_count;
        }
        *known = parent;
    }
    return *known;
}

static void print_heaptrack_start(const struct printer *printer)
{
    cJSON *process = printer->trace->process ? cJSON_Parse(printer->trace->process) : NULL;
    const cJSON *word;
    printf("v 10400 3\nX");
    cJSON_ArrayForEach(word, cJSON_GetObjectItem(process, "command")) if (cJSON_IsString(word))
        printf(" %s", printable(word->valuestring));
    printf("\nI %x 0\n", REPLAY_PAGE);
    cJSON_Delete(process);
}

static void print_heaptrack_event(struct printer *printer, const struct trace_event *event)
{
    uint64_t milliseconds = printer->trace->time / 1000;
    if (event->op == TRACE_FAILED)
        return;
    if (milliseconds != printer->milliseconds)
        printf("c %" PRIx64 "\n", milliseconds);
    printer->milliseconds = milliseconds;
    printer->live =
        grow(printer->live, &printer->live_size, (size_t)event->id + 1, sizeof *printer->live);
    uint64_t *live = &printer->live[event->id];
    if (*live != 0)
        printf("- %" PRIx64 "\n", *live - 1);
    *live = 0;
    if (event->op == TRACE_FREE)
        return;
    uint32_t frame = stack_frame(printer, event->site);
    bool is_new;
    uint64_t pair[2] = {event->size, frame};
    *live = stacks_number(&printer->pairs, pair, 2, &is_new);
    if (is_new)
        printf("a %" PRIx64 " %x\n", event->size, frame);
    if (*live != 0)
        printf("+ %" PRIx64 "\n", *live - 1);
}

/* ---------------------------------------------------------------------------------------- */

/* The names are known from the end of a trace: it is read twice. */
static void find_names(struct printer *printer)
{
    struct trace_event event;
    while (trace_next(printer->trace, &event))
        ;
    need_valid(printer->trace);
    printer->symbols = symbols_open(printer->trace->maps);
    if (!trace_rewind(printer->trace))
        need_valid(printer->trace);
}

static void print_all(struct printer *printer, bool is_csv)
{
    struct trace_event event;
    bool has_event = trace_next(printer->trace, &event);
    if (is_csv)
        printf("event,time_us,thread,call,block,size,alignment,offset,site\n");
    else
        print_heaptrack_start(printer);
    if (is_csv && !replay_open(&printer->replay, 0, replay_granule(printer->trace, 0)))
        die(STATUS_FAILED, "out of memory");
    for (; has_event; has_event = trace_next(printer->trace, &event))
        (is_csv ? print_csv_event : print_heaptrack_event)(printer, &event);
    need_valid(printer->trace);
    if (!is_csv)
        printf("c %" PRIx64 "\nR 0\n", printer->trace->time / 1000 + 1);
}

static const struct argp argp = {NULL, NULL, "csv|heaptrack TRACE", NULL, sites_children,
                                 NULL, NULL};

int command_events(int argc, char **argv)
{
    struct printer printer = {0};
    int first;
    argp_parse(&argp, argc, argv, 0, &first, NULL);
    char **words = argv + first;
    bool is_csv = argc - first == 2 && strcmp(words[0], "csv") == 0;
    if (argc - first != 2 || (!is_csv && strcmp(words[0], "heaptrack") != 0))
        die(STATUS_USAGE, "events: csv|heaptrack TRACE");
    printer.trace = trace_open(words[1]);
    need_valid(printer.trace);
    find_names(&printer);
    print_all(&printer, is_csv);
    finish_output();
    return STATUS_OK;
}
