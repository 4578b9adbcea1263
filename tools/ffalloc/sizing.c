/* SPDX-License-Identifier: MIT */
/*
 * One replay in a pool without end tells the size: the same calls in a smaller pool place every
 * block at the same offset, until one does not fit (promise 2 of README.md). So the end of the
 * highest block, the mark, is the answer, with two exceptions.
 *
 * A block that realloc grows in place, and so raises the mark, moves into a lower hole where a
 * smaller pool ends before, if there is one. So below such a mark a granule less is tried.
 *
 * Requests aligned above the granule look at a bounded number of holes, and take the lowest that is
 * large enough at any alignment, which a pool's last hole, the only one that knows the pool's size,
 * may be or not. So with such requests the mark is tried, too. If it is not enough, the answer is
 * looked for between it and the mark and the largest alignment together: there the last hole has
 * room to spare wherever the pool without end took it, so every block lies as there.
 *
 * Whether a pool between two is enough need not rise with its size then, so what is found by
 * halving is a pool that is enough while one of a granule less is not.
 */
#include "sizing.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "symbols.h"

unsigned parse_target_argument(const char *text)
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

/* The end of the highest block in a pool of that many usable bytes; 0 if a request fails there. */
static uint64_t mark_within(struct sizing *sizing, uint64_t usable)
{
    struct trace_event event;
    struct replay replay;
    size_t granule = sizing->replay.granule;
    size_t pool = ffalloc_pool_size_for((size_t)(usable / granule), granule);
    if (!pool || !replay_open_guarded(&replay, pool, granule, sizing->replay.guard_size))
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

/* Between what is too little and what is enough: what is enough while a granule less is not. */
static uint64_t halve(struct sizing *sizing, uint64_t little, uint64_t enough)
{
    size_t granule = sizing->replay.granule;
    while (enough - little > granule) {
        uint64_t middle = little + (enough - little) / granule / 2 * granule;
        if (mark_within(sizing, middle) == 0)
            little = middle;
        else
            enough = middle;
    }
    return enough;
}

/* Where the mark of the pool without end may not be the answer, from there. Downwards by twice as
 * much each time: where a block grew in small steps, one granule less is enough again and again. */
static uint64_t search(struct sizing *sizing, uint64_t mark)
{
    size_t granule = sizing->replay.granule;
    uint64_t enough = mark;
    if (mark_within(sizing, mark) == 0)
        enough = halve(sizing, mark, mark + ((uint64_t)1 << sizing->largest_log2) - granule);
    for (uint64_t step = granule; enough > granule; step *= 2) {
        uint64_t tried = enough - granule > step ? enough - step : granule;
        uint64_t less = mark_within(sizing, tried);
        if (less == 0)
            return halve(sizing, tried, enough);
        bool is_enough = mark_within(sizing, less) > 0;
        enough = is_enough ? less : halve(sizing, less, tried);
    }
    return enough;
}

/* All of the trace has been read, with what was mapped at its end. */
static char *site_of_mark(const struct trace *trace, const struct replay *replay)
{
    struct symbols *symbols = symbols_open(trace->maps);
    char *site = strdup(symbols_text(symbols, &trace->stacks[replay->at_mark.asked.site]));
    symbols_close(symbols);
    return site;
}

/* Whether some pool of the target has room for that many bytes. */
static uint64_t pool_for(uint64_t size, size_t granule, unsigned target)
{
    uint64_t granules = (size + granule - 1) / granule;
    return granules <= SIZE_MAX / granule
               ? ffalloc_target_pool_size_for(target, (size_t)granules, granule)
               : 0;
}

static void note_event(struct sizing *sizing, const struct trace_event *event, unsigned target)
{
    if (event->op == TRACE_FAILED && pool_for(event->size, sizing->replay.granule, target) > 0)
        sizing->failed_before++;
    if (event->thread != TRACE_NOBODY && event->thread >= sizing->thread_count)
        sizing->thread_count = event->thread + 1u;
    if (event->log2align > sizing->largest_log2)
        sizing->largest_log2 = event->log2align;
}

static void take_first(struct sizing *sizing, size_t granule, unsigned target, size_t guard_size)
{
    struct trace_event event;
    struct trace *trace = sizing->trace;
    struct replay *replay = &sizing->replay;
    bool has_event = trace_next(trace, &event); /* by then what was recorded is known */
    need_valid(trace);
    replay_open_guarded(replay, 0, granule ? granule : replay_granule(trace, 0), guard_size);
    for (; has_event; has_event = trace_next(trace, &event)) {
        note_event(sizing, &event, target);
        if (!replay_event(replay, &event, trace->event_count))
            die(STATUS_FAILED,
                "%s: event %" PRIu64 " asks for %" PRIu64 " bytes, more than there is", trace->path,
                trace->event_count, event.size);
    }
    need_valid(trace);
    replay_close(replay);
    sizing->event_count = trace->event_count;
    sizing->is_truncated = trace->is_truncated;
    sizing->site = site_of_mark(trace, replay);
}

void sizing_settle(struct sizing *sizing, unsigned target)
{
    const struct replay *replay = &sizing->replay;
    sizing->min_usable = replay->mark ? replay->mark : replay->granule;
    bool has_aligned = sizing->largest_log2 > replay->granule_log2;
    if (has_aligned)
        sizing->min_usable = search(sizing, sizing->min_usable);
    sizing->mark_usable = sizing->min_usable;
    if (replay->at_mark.asked.op == TRACE_REALLOC && !has_aligned)
        sizing->min_usable = search(sizing, sizing->min_usable);
    sizing->min_pool = pool_for(sizing->min_usable, replay->granule, target);
    sizing->mark_pool = pool_for(sizing->mark_usable, replay->granule, target);
    unsigned bits = target & ~FFALLOC_TARGET_SMALL;
    if (sizing->min_pool == 0)
        die(STATUS_FAILED, "%s: %s is more than a%s pool of %u bits can have", sizing->trace->path,
            person(sizing->min_usable), target & FFALLOC_TARGET_SMALL ? " small" : "", bits);
}

void sizing_take(struct sizing *sizing, const char *path, const char *name, size_t granule,
                 unsigned target, size_t guard_size)
{
    *sizing = (struct sizing){.trace = trace_open(path)};
    sizing->trace->path = name;
    take_first(sizing, granule, target, guard_size);
    sizing_settle(sizing, target);
}

bool sizing_is_exact(const struct sizing *sizing)
{
    bool is_whole = sizing->failed_before == 0 && !sizing->is_truncated;
    return is_whole && sizing->thread_count <= 1 &&
           (uint64_t)1 << sizing->largest_log2 <= REPLAY_LARGEST_ALIGNMENT;
}

void sizing_close(struct sizing *sizing)
{
    trace_close(sizing->trace);
    free(sizing->site);
}
