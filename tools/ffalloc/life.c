/* SPDX-License-Identifier: MIT */
#include "life.h"

#include <stdlib.h>

#include "command.h"
#include "replay.h"

/* The number of the block that an event of the trace is about, which is new if none lives there. */
static uint32_t block_of(struct life *life, uint32_t *number, uint32_t birth)
{
    if (*number == 0) {
        life->blocks = grow(life->blocks, &life->block_size, (size_t)life->block_count + 1,
                            sizeof *life->blocks);
        life->blocks[life->block_count] = (struct block){.birth = birth};
        *number = ++life->block_count;
    }
    return *number - 1;
}

static void take_event(struct life *life, struct trace_event *event, uint32_t *number)
{
    uint32_t count = life->event_count;
    event->id = block_of(life, number, count);
    struct block *block = &life->blocks[event->id];
    if (event->op == TRACE_FREE) {
        block->death = count;
        *number = 0;
        return;
    }
    block->resize_count += event->op == TRACE_REALLOC && block->birth != count;
    if (event->size > block->largest)
        block->largest = event->size;
}

void life_load(struct life *life, struct trace *trace)
{
    struct trace_event event;
    uint32_t *numbers = NULL; /* by the trace's id: that of its block, plus 1 */
    size_t number_size = 0;
    *life = (struct life){0};
    if (!trace_rewind(trace))
        need_valid(trace);
    while (trace_next(trace, &event)) {
        if (trace->event_count >= UINT32_MAX)
            die(STATUS_FAILED, "%s: too long, with more than %u events", trace->path, UINT32_MAX);
        life->event_count++;
        event.time = trace->time < UINT32_MAX ? (uint32_t)trace->time : UINT32_MAX;
        if (event.op != TRACE_FAILED) {
            numbers = grow(numbers, &number_size, (size_t)event.id + 1, sizeof *numbers);
            take_event(life, &event, &numbers[event.id]);
        }
        life->events =
            grow(life->events, &life->event_size, life->event_count, sizeof *life->events);
        life->events[life->event_count - 1] = event;
    }
    need_valid(trace);
    free(numbers);
}

void life_free(struct life *life)
{
    free(life->events);
    free(life->blocks);
}

uint64_t life_bound(const struct life *life, size_t granule)
{
    uint64_t *sizes = allocate(life->block_count * sizeof *sizes); /* now, by block; 0: not live */
    uint64_t live = 0, most = 0;
    for (uint32_t i = 0; i < life->event_count; i++) {
        const struct trace_event *event = &life->events[i];
        if (event->op == TRACE_FAILED)
            continue;
        live -= sizes[event->id];
        bool is_none = event->op == TRACE_FREE || event->thread == TRACE_NOBODY;
        sizes[event->id] = is_none ? 0 : replay_rounded(event->size, granule);
        live += sizes[event->id];
        most = live > most ? live : most;
    }
    free(sizes);
    return most;
}
