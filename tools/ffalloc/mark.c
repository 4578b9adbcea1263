/* SPDX-License-Identifier: MIT */
#include "mark.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"

struct placed {
    uint64_t offset;
    uint32_t block;
};

static int compare_placed(const void *a, const void *b)
{
    uint64_t x = ((const struct placed *)a)->offset, y = ((const struct placed *)b)->offset;
    return (x > y) - (x < y);
}

static uint64_t end_of(const struct replay *replay, uint32_t block)
{
    return replay_offset(replay, block) + replay_rounded(replay->live[block].size, replay->granule);
}

static void take_blocks(struct mark *mark, const struct replay *replay)
{
    struct placed *placed = allocate(replay->live_size * sizeof *placed);
    for (size_t i = 0; i < replay->live_size; i++)
        if (replay->live[i].address && !replay->live[i].is_nobodys)
            placed[mark->count++] =
                (struct placed){replay_offset(replay, (uint32_t)i), (uint32_t)i};
    qsort(placed, mark->count, sizeof *placed, compare_placed);
    mark->blocks = allocate(mark->count * sizeof *mark->blocks);
    mark->offsets = allocate(mark->count * sizeof *mark->offsets);
    for (uint32_t i = 0; i < mark->count; i++) {
        mark->blocks[i] = placed[i].block;
        mark->offsets[i] = placed[i].offset;
    }
    free(placed);
}

/* Keeps a hole if it is one of the largest; of equal ones the lowest. */
static void add_hole(struct mark *mark, struct hole hole)
{
    unsigned at = mark->hole_count;
    while (at > 0 && mark->holes[at - 1].size < hole.size)
        at--;
    if (at == MARK_HOLES)
        return;
    mark->hole_count += mark->hole_count < MARK_HOLES;
    memmove(&mark->holes[at + 1], &mark->holes[at],
            (mark->hole_count - at - 1) * sizeof *mark->holes);
    mark->holes[at] = hole;
}

static void take_holes(struct mark *mark, const struct replay *replay)
{
    uint64_t free_from = 0;
    for (uint32_t i = 0; i < mark->count; i++) {
        if (mark->offsets[i] > free_from)
            add_hole(mark, (struct hole){.offset = free_from,
                                         .size = mark->offsets[i] - free_from,
                                         .above = i});
        free_from = end_of(replay, mark->blocks[i]);
    }
    for (unsigned h = 0; h < mark->hole_count; h++) {
        struct hole *hole = &mark->holes[h];
        uint64_t start = mark->offsets[hole->above], end = start;
        for (uint32_t i = hole->above; i < mark->count && mark->offsets[i] == end; i++) {
            end = end_of(replay, mark->blocks[i]);
            hole->run_count++;
        }
        hole->run_size = end - start;
    }
}

void mark_take(struct mark *mark, struct trial *trial, const struct plan *plan, uint64_t event)
{
    *mark = (struct mark){.event = event};
    struct replay replay = plan_until(trial, plan, event);
    take_blocks(mark, &replay);
    take_holes(mark, &replay);
    replay_close(&replay);
}

/* What was used up to an event is no part of the hole that is there after it. */
static void note_use(struct mark *mark, uint64_t start, uint64_t end, uint64_t number)
{
    for (unsigned h = 0; h < mark->hole_count; h++) {
        struct hole *hole = &mark->holes[h];
        if (start < hole->offset + hole->size && end > hole->offset) {
            hole->since = number;
            hole->refused_count = 0;
        }
    }
}

static void note_request(struct mark *mark, uint64_t start, uint64_t size)
{
    for (unsigned h = 0; h < mark->hole_count; h++) {
        struct hole *hole = &mark->holes[h];
        if (start < hole->offset || size <= hole->size)
            continue;
        if (hole->refused_count++ == 0 || size < hole->refused_least)
            hole->refused_least = size;
    }
}

void mark_date(struct mark *mark, struct trial *trial)
{
    struct replay replay;
    const struct life *life = trial->life;
    if (!replay_open(&replay, 0, trial->granule))
        die(STATUS_FAILED, "no pool can be had");
    for (uint64_t number = 1; number <= mark->event; number++) {
        const struct trace_event *event = life_event(life, number);
        if (event->op == TRACE_FAILED)
            continue;
        if (event->id < replay.live_size && replay.live[event->id].address)
            note_use(mark, replay_offset(&replay, event->id), end_of(&replay, event->id), number);
        replay_event(&replay, event, number);
        if (event->op == TRACE_FREE)
            continue;
        uint64_t start = replay_offset(&replay, event->id);
        note_use(mark, start, end_of(&replay, event->id), number);
        note_request(mark, start, event->size);
    }
    trial->replayed += mark->event;
    replay_close(&replay);
}

void mark_free(struct mark *mark)
{
    free(mark->blocks);
    free(mark->offsets);
}
