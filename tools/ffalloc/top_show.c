/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "json.h"
#include "top.h"

#define LINES_MOST 40
#define LINES_SAID 10 /* where there is no screen */
#define HEAD_LINES 5

void top_take(struct top *top, const struct trace_event *event)
{
    struct replay *replay = &top->replay;
    if (!top->has_replay && !replay_open(replay, 0, replay_granule(top->trace, 0)))
        die(STATUS_FAILED, "no pool can be had");
    top->has_replay = true;
    if (event->op == TRACE_FAILED)
        return;
    top->site_by_id =
        grow(top->site_by_id, &top->id_size, (size_t)event->id + 1, sizeof *top->site_by_id);
    top->sites = grow(top->sites, &top->site_size, (size_t)event->site + 1, sizeof *top->sites);
    if (event->id < replay->live_size && replay->live[event->id].address) {
        struct top_site *before = &top->sites[top->site_by_id[event->id]];
        before->bytes -= replay->live[event->id].size;
        before->count--;
    }
    replay_event(replay, event, top->trace->event_count);
    if (event->op == TRACE_FREE || !replay->live[event->id].address)
        return;
    struct top_site *site = &top->sites[event->site];
    top->site_by_id[event->id] = site->stack = event->site;
    site->bytes += event->size;
    site->count++;
}

void top_forget(struct top *top)
{
    if (top->has_replay)
        replay_close(&top->replay);
    top->has_replay = false;
    if (top->site_size)
        memset(top->sites, 0, top->site_size * sizeof *top->sites);
    top->shown_count = 0;
}

/* The holes below the mark. */
struct holes {
    const unsigned char *end;
    uint64_t count, largest;
};

static bool count_hole(void *context, const struct ffalloc_block *hole)
{
    struct holes *holes = context;
    const unsigned char *start = hole->address;
    if (start >= holes->end)
        return false;
    uint64_t left = (uint64_t)(holes->end - start);
    uint64_t size = hole->size < left ? hole->size : left;
    holes->count++;
    holes->largest = size > holes->largest ? size : holes->largest;
    return true;
}

static int compare_sites(const void *a, const void *b)
{
    const struct top_site *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : (x->stack > y->stack ? 1 : -1);
}

static void reopen_symbols(struct top *top)
{
    size_t length;
    maps_read(&top->maps, (unsigned)top->process);
    char *text = maps_text(&top->maps, &length);
    if (!top->symbols || length != top->maps_length) {
        if (top->symbols)
            symbols_close(top->symbols);
        top->symbols = symbols_open(text);
        top->maps_length = length;
    }
    free(text);
}

/* The largest sites, what ways lead to one put together; how many they are. */
static size_t take_sites(struct top *top, struct top_site **sites)
{
    size_t count = 0;
    size_t most =
        top->trace->stack_count < top->site_size ? top->trace->stack_count : top->site_size;
    *sites = allocate((most + 1) * sizeof **sites);
    reopen_symbols(top);
    uint32_t *same = symbols_merge(top->symbols, top->trace);
    for (size_t i = 0; i < most; i++) {
        struct top_site *site = &(*sites)[same[i]];
        site->stack = same[i];
        site->bytes += top->sites[i].bytes;
        site->count += top->sites[i].count;
    }
    free(same);
    qsort(*sites, most, sizeof **sites, compare_sites);
    while (count < most && count < LINES_MOST && (*sites)[count].count > 0)
        count++;
    return count;
}

static const char *site_name(struct top *top, const struct top_site *site)
{
    const char *name = symbols_text(top->symbols, &top->trace->stacks[site->stack]);
    return *name ? name : "unknown";
}

static uint64_t pool_of(const struct replay *replay)
{
    return ffalloc_pool_size_for((size_t)(replay->mark / replay->granule), replay->granule);
}

/* In as many columns, and in ASCII where the locale has no more. */
static void print_line(const char *text, unsigned columns, const char *end)
{
    bool has_all = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    unsigned column = 0;
    for (; *text; text++) {
        bool is_inner = (*text & 0xc0) == 0x80;
        column += !is_inner;
        if (column > columns)
            break;
        if (!(*text & 0x80) || has_all)
            putchar(*text);
        else if (!is_inner)
            putchar('?');
    }
    fputs(end, stdout);
}

static void show_screen(struct top *top, const struct holes *holes, struct top_site *sites,
                        size_t count)
{
    struct winsize window = {0};
    char line[800];
    const struct replay *replay = &top->replay;
    ioctl(1, TIOCGWINSZ, &window);
    unsigned columns = window.ws_col ? window.ws_col : 80;
    unsigned rows = window.ws_row > HEAD_LINES + 1 ? window.ws_row - HEAD_LINES - 1 : 1;
    fputs("\33[H", stdout);
    snprintf(line, sizeof line,
             "process %d: %" PRIu64 " events, %" PRIu64 " since, %.1f s; q quits", top->process,
             top->trace->event_count, top->trace->event_count - top->shown_count,
             (double)top->trace->time / 1e6);
    print_line(line, columns, "\33[K\n");
    snprintf(line, sizeof line, "pool  %12" PRIu64 "  for the mark of %" PRIu64, pool_of(replay),
             replay->mark);
    print_line(line, columns, "\33[K\n");
    snprintf(line, sizeof line,
             "used  %12" PRIu64 "  holes %" PRIu64 " in %" PRIu64 ", largest %" PRIu64,
             replay->rounded, replay->mark - replay->rounded, holes->count, holes->largest);
    print_line(line, columns, "\33[K\n\33[K\n");
    print_line("             bytes    blocks  site", columns, "\33[K\n");
    for (size_t i = 0; i < count && i < rows; i++) {
        snprintf(line, sizeof line, "%18" PRIu64 "%10" PRIu64 "  %s", sites[i].bytes,
                 sites[i].count, site_name(top, &sites[i]));
        print_line(line, columns, "\33[K\n");
    }
    fputs("\33[J", stdout);
}

static void show_line(struct top *top, const struct holes *holes, struct top_site *sites,
                      size_t count)
{
    char line[800];
    const struct replay *replay = &top->replay;
    snprintf(line, sizeof line,
             "%.1f s, %" PRIu64 " events: pool %" PRIu64 ", mark %" PRIu64 ", used %" PRIu64
             ", holes %" PRIu64 " in %" PRIu64 ", largest %" PRIu64 "%s%s",
             (double)top->trace->time / 1e6, top->trace->event_count, pool_of(replay), replay->mark,
             replay->rounded, replay->mark - replay->rounded, holes->count, holes->largest,
             count ? "; most: " : "", count ? site_name(top, &sites[0]) : "");
    print_line(line, sizeof line, "\n");
}

static void show_object(struct top *top, const struct holes *holes, struct top_site *sites,
                        size_t count)
{
    const struct replay *replay = &top->replay;
    cJSON *root = cJSON_CreateObject();
    json_add(root, "process", (uint64_t)top->process);
    json_add(root, "events", top->trace->event_count);
    json_add(root, "time", top->trace->time);
    json_add(root, "pool", pool_of(replay));
    json_add(root, "mark", replay->mark);
    json_add(root, "used", replay->rounded);
    json_add(root, "payload", replay->payload);
    json_add(root, "holes", replay->mark - replay->rounded);
    json_add(root, "hole_count", holes->count);
    json_add(root, "largest_hole", holes->largest);
    cJSON *array = cJSON_AddArrayToObject(root, "sites");
    for (size_t i = 0; i < count && i < LINES_SAID; i++) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "site", site_name(top, &sites[i]));
        json_add(object, "bytes", sites[i].bytes);
        json_add(object, "blocks", sites[i].count);
        cJSON_AddItemToArray(array, object);
    }
    json_print(root, false);
}

void top_show(struct top *top)
{
    struct top_site *sites;
    if (!top->has_replay)
        return;
    struct holes holes = {.end = top->replay.blocks + top->replay.mark};
    ffalloc_walk_holes(top->replay.pool, 1, count_hole, &holes);
    size_t count = take_sites(top, &sites);
    (top->is_json     ? show_object
     : top->is_screen ? show_screen
                      : show_line)(top, &holes, sites, count);
    free(sites);
    top->shown_count = top->trace->event_count;
    finish_output();
}
