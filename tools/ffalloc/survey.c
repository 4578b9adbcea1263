/* SPDX-License-Identifier: MIT */
#include "survey.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "sizing.h"

/* The state of the second replay. */
struct follow {
    struct survey *survey;
    struct replay replay;
    struct owner {
        uint64_t birth; /* event */
        uint64_t offset, rounded, size;
        uint32_t site;
        bool is_live;
        bool is_nobodys; /* of no site */
    } * owners;          /* by id */
    size_t owner_size;
    uint64_t *row_used;  /* bytes, by row */
    uint32_t *row_owner; /* by row: the id of the block in its middle, plus 1; 0: a hole */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static unsigned class_of(uint64_t size)
{
    unsigned class = size > 1 ? 64 - (unsigned)__builtin_clzll(size - 1) : 0;
    return class < SIZE_CLASSES ? class : SIZE_CLASSES - 1;
}

/* The first replay ---------------------------------------------------------------------- */

/* What the trace needs, from a replay in a pool without end. */
static void settle(struct survey *survey, unsigned largest_log2)
{
    struct sizing sizing = {
        .replay = survey->replay, .trace = survey->trace, .largest_log2 = largest_log2};
    sizing_settle(&sizing, sizing_target(0));
    survey->min_usable = sizing.min_usable;
}

static void measure(struct survey *survey, uint64_t pool)
{
    struct trace *trace = survey->trace;
    struct trace_event event;
    unsigned largest_log2 = 0;
    bool has_event = trace_next(trace, &event);
    need_valid(trace);
    survey->granule = replay_granule(trace, survey->granule);
    if (!replay_open(&survey->replay, pool, survey->granule))
        die(STATUS_USAGE, "no pool can have that size");
    for (; has_event; has_event = trace_next(trace, &event)) {
        bool is_done = replay_event(&survey->replay, &event, trace->event_count);
        if ((!is_done || event.op == TRACE_FAILED) && survey->failed_event == 0)
            survey->failed_event = trace->event_count;
        survey->failed_count += event.op == TRACE_FAILED;
        if (event.thread != TRACE_NOBODY && event.thread >= survey->thread_count)
            survey->thread_count = event.thread + 1u;
        if (event.op != TRACE_FREE && event.op != TRACE_FAILED && event.thread != TRACE_NOBODY)
            survey->size_counts[class_of(event.size)]++;
        largest_log2 = event.log2align > largest_log2 ? event.log2align : largest_log2;
    }
    need_valid(trace);
    if (trace->event_count == 0)
        die(STATUS_FAILED, "%s: there is no event in it", trace->path);
    survey->event_count = trace->event_count;
    survey->duration = trace->time;
    replay_close(&survey->replay);
    uint64_t mark = survey->replay.mark ? survey->replay.mark : survey->granule;
    uint64_t alignment = (uint64_t)1 << largest_log2;
    survey->usable = pool ? pool : mark + (alignment > survey->granule ? alignment : 0);
    survey->min_usable = mark;
    if (!pool && survey->replay.failed_count == 0) /* what no pool serves has no least one */
        settle(survey, largest_log2);
}

/* The second replay --------------------------------------------------------------------- */

static struct site *site_at(struct survey *survey, uint32_t stack)
{
    survey->sites =
        grow(survey->sites, &survey->site_size, (size_t)stack + 1, sizeof *survey->sites);
    return &survey->sites[stack];
}

/* Adds a block to the rows in which it lies, or takes it away. */
static void count_rows(struct follow *follow, const struct owner *owner, bool is_added)
{
    uint64_t row_bytes = follow->survey->row_bytes;
    uint64_t from = owner->offset;
    uint64_t end = owner->offset + owner->rounded;
    while (from < end && from / row_bytes < follow->survey->row_count) {
        uint64_t row = from / row_bytes;
        uint64_t middle = row * row_bytes + row_bytes / 2;
        uint64_t part = least(end, (row + 1) * row_bytes) - from;
        follow->row_used[row] += is_added ? part : -part;
        if (middle >= from && middle < from + part)
            follow->row_owner[row] = is_added ? (uint32_t)(owner - follow->owners) + 1 : 0;
        from += part;
    }
}

static void drop_owner(struct follow *follow, struct owner *owner)
{
    if (!owner->is_live)
        return;
    if (!owner->is_nobodys) {
        struct site *site = site_at(follow->survey, owner->site);
        site->live_count--;
        site->live_bytes -= owner->size;
    }
    count_rows(follow, owner, false);
    owner->is_live = false;
}

static void count_site(struct follow *follow, const struct owner *owner)
{
    struct site *site = site_at(follow->survey, owner->site);
    site->alloc_count++;
    site->alloc_bytes += owner->size;
    site->live_count++;
    site->live_bytes += owner->size;
}

static void add_owner(struct follow *follow, struct owner *owner, const struct trace_event *event,
                      uint64_t number)
{
    *owner = (struct owner){
        .birth = number,
        .offset = replay_offset(&follow->replay, event->id),
        .rounded = replay_rounded(event->size, follow->survey->granule),
        .size = event->size,
        .site = event->site,
        .is_live = true,
        .is_nobodys = event->thread == TRACE_NOBODY,
    };
    if (!owner->is_nobodys)
        count_site(follow, owner);
    count_rows(follow, owner, true);
}

static void follow_event(struct follow *follow, const struct trace_event *event, uint64_t number)
{
    if (!replay_event(&follow->replay, event, number) || event->op == TRACE_FAILED)
        return;
    follow->owners =
        grow(follow->owners, &follow->owner_size, (size_t)event->id + 1, sizeof *follow->owners);
    struct owner *owner = &follow->owners[event->id];
    drop_owner(follow, owner);
    if (event->op != TRACE_FREE)
        add_owner(follow, owner, event, number);
}

static void take_sample(struct follow *follow, struct sample *sample, uint64_t number)
{
    struct ffalloc_stats stats;
    ffalloc_stats(follow->replay.pool, &stats);
    *sample = (struct sample){
        .event = number,
        .time = follow->survey->trace->time,
        .payload = follow->replay.payload,
        .used = stats.used_size,
        .mark = stats.high_water_size,
        .largest_hole = stats.largest_hole_size,
        .hole_count = stats.hole_count,
        .block_count = stats.block_count,
    };
}

/* The picture of a moment: for each row how much of it is used, and by whom its middle is. */
static void take_cells(struct follow *follow, struct cell *cells)
{
    struct survey *survey = follow->survey;
    for (unsigned row = 0; row < survey->row_count; row++) {
        uint32_t id = follow->row_owner[row];
        const struct owner *owner = id ? &follow->owners[id - 1] : NULL;
        uint64_t used = follow->row_used[row] * 255 / survey->row_bytes;
        cells[row].used = (uint8_t)(used ? used : follow->row_used[row] > 0);
        cells[row].site = owner ? owner->site : 0;
        cells[row].birth = owner ? (uint8_t)(owner->birth * 255 / survey->event_count) : 0;
    }
}

/* Notes which sites hold what at one of the two peaks. */
static void note_sites(struct survey *survey, bool is_mark)
{
    for (size_t i = 0; i < survey->site_size; i++) {
        struct site *site = &survey->sites[i];
        *(is_mark ? &site->mark_count : &site->peak_count) = site->live_count;
        *(is_mark ? &site->mark_bytes : &site->peak_bytes) = site->live_bytes;
    }
}

static void open_follow(struct follow *follow, struct survey *survey, bool is_pool)
{
    size_t granule = survey->granule;
    uint64_t pool =
        is_pool
            ? survey->usable
            : ffalloc_pool_size_for((size_t)((survey->usable + granule - 1) / granule), granule);
    follow->survey = survey;
    if (!pool || !replay_open(&follow->replay, pool, granule))
        die(STATUS_FAILED, "no pool can have %s", person(survey->usable));
    struct ffalloc_marks marks;
    ffalloc_marks(follow->replay.pool, &marks);
    survey->usable = marks.usable_size;
    uint64_t row_bytes = (survey->usable + survey->row_count - 1) / survey->row_count;
    survey->row_bytes = (row_bytes + granule - 1) / granule * granule;
    survey->row_count = (unsigned)((survey->usable + survey->row_bytes - 1) / survey->row_bytes);
    follow->row_used = allocate(survey->row_count * sizeof *follow->row_used);
    follow->row_owner = allocate(survey->row_count * sizeof *follow->row_owner);
}

static void follow_all(struct survey *survey, bool is_pool)
{
    struct follow follow = {0};
    struct trace_event event;
    struct trace *trace = survey->trace;
    if (!trace_rewind(trace))
        need_valid(trace);
    open_follow(&follow, survey, is_pool);
    survey->column_count = (unsigned)least(survey->column_count, survey->event_count);
    survey->cells =
        allocate((survey->column_count + 1) * survey->row_count * sizeof *survey->cells);
    survey->samples = allocate(survey->column_count * sizeof *survey->samples);
    unsigned column = 0;
    while (trace_next(trace, &event)) {
        uint64_t number = trace->event_count;
        follow_event(&follow, &event, number);
        if (number == survey->replay.at_mark.event)
            note_sites(survey, true);
        if (number == survey->replay.payload_peak_event)
            note_sites(survey, false);
        if (number == survey->moment) {
            take_cells(&follow, &survey->cells[survey->column_count * survey->row_count]);
            take_sample(&follow, &survey->at_moment, number);
        }
        if (number == (column + 1) * survey->event_count / survey->column_count) {
            take_cells(&follow, &survey->cells[column * survey->row_count]);
            take_sample(&follow, &survey->samples[column++], number);
        }
    }
    need_valid(trace);
    replay_close(&follow.replay);
    site_at(survey, (uint32_t)trace->stack_count - 1);
    free(follow.owners);
    free(follow.row_used);
    free(follow.row_owner);
}

static void find_moment(struct survey *survey, int64_t moment)
{
    if (moment == MOMENT_MARK)
        survey->moment = survey->replay.at_mark.event;
    else if (moment == MOMENT_PEAK)
        survey->moment = survey->replay.payload_peak_event;
    else if (moment == MOMENT_FAIL)
        survey->moment = survey->failed_event;
    else
        survey->moment = moment == MOMENT_END ? survey->event_count : (uint64_t)moment;
    if (moment == MOMENT_FAIL && survey->moment == 0)
        die(STATUS_NO, "%s: no request failed; with --pool SIZE one may", survey->trace->path);
    if (survey->moment > survey->event_count)
        die(STATUS_USAGE, "%s has %" PRIu64 " events: there is no event %" PRIu64,
            survey->trace->path, survey->event_count, survey->moment);
    survey->moment += survey->moment == 0;
}

void survey_take(struct survey *survey, const char *path, uint64_t pool, size_t granule,
                 int64_t moment, unsigned columns, unsigned rows)
{
    *survey = (struct survey){.granule = granule, .column_count = columns, .row_count = rows};
    survey->trace = trace_open(path);
    measure(survey, pool);
    find_moment(survey, moment);
    follow_all(survey, pool != 0);
}
