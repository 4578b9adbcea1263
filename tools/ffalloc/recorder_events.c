/* SPDX-License-Identifier: MIT */
/* From the calls in a ring to the events of a trace. */
#include <string.h>

#include "hash.h"
#include "recorder_state.h"

static void note_offset(struct recorder *recorder, uint64_t address)
{
    const struct ring *ring = recorder->ring;
    uint64_t offset = address - ring->blocks;
    recorder->totals.is_one_pool &= offset < ring->blocks_size;
    recorder->totals.hash = hash_add(recorder->totals.hash, offset / ring->granule);
}

static void write_event(struct recorder *recorder, const struct trace_event *event)
{
    trace_write_event(recorder->writer, event);
    recorder->totals.event_count++;
    recorder->totals.failed_count += event->op == TRACE_FAILED;
}

/* The block of this id lies there. */
static void place(struct recorder *recorder, const struct trace_event *event, uint64_t address)
{
    ids_place(&recorder->ids, address, event->id);
    layout_note(&recorder->layout, event->id, address, event->size, event->site);
    note_offset(recorder, address);
}

/* What lay there is gone; returns its id, which may be another's now, or TRACE_NO_ID. */
static uint32_t forget(struct recorder *recorder, uint64_t address)
{
    uint32_t id = ids_forget(&recorder->ids, address);
    if (id == TRACE_NO_ID)
        return id;
    ids_give(&recorder->ids, id);
    layout_note(&recorder->layout, id, 0, 0, 0);
    return id;
}

void recorder_write_lost_free(struct recorder *recorder, uint64_t address)
{
    uint32_t id = forget(recorder, address);
    if (id != TRACE_NO_ID)
        write_event(recorder, &(struct trace_event){.op = TRACE_FREE, .id = id});
}

void recorder_write_placed(struct recorder *recorder, uint16_t thread, uint64_t address,
                           uint64_t size, uint32_t site)
{
    struct trace_event event = {.op = TRACE_MALLOC, .thread = thread, .size = size, .site = site};
    event.id = ids_take(&recorder->ids);
    place(recorder, &event, address);
    write_event(recorder, &event);
}

/* Fills in the id. False if the event is of no block of this trace. */
static bool follow_block(struct recorder *recorder, struct trace_event *event, uint64_t block,
                         uint64_t before)
{
    if (event->op == TRACE_FAILED) {
        event->id = before ? ids_at(&recorder->ids, before) : TRACE_NO_ID;
        return true;
    }
    if (event->op == TRACE_FREE) {
        event->id = forget(recorder, block);
        return event->id != TRACE_NO_ID;
    }
    event->id = event->op == TRACE_REALLOC ? ids_forget(&recorder->ids, before) : TRACE_NO_ID;
    recorder_write_lost_free(recorder, block); /* what was placed there before */
    if (event->id == TRACE_NO_ID) {
        event->op = event->op == TRACE_REALLOC ? TRACE_MALLOC : event->op;
        event->id = ids_take(&recorder->ids);
    }
    place(recorder, event, block);
    return true;
}

static uint32_t number_stack(struct recorder *recorder, const uint64_t *frames, size_t count)
{
    bool is_new;
    uint32_t number = stacks_number(&recorder->stacks, frames, count, &is_new);
    if (!is_new)
        return number;
    for (size_t i = 0; i < count; i++)
        if (!maps_has(&recorder->maps, frames[i])) {
            maps_read(&recorder->maps, recorder->ring->process);
            break;
        }
    trace_write_stack(recorder->writer, number, frames, count);
    return number;
}

static void take_maps(struct recorder *recorder, const uint64_t *extra, size_t length)
{
    if (length <= RING_EXTRA_LIMIT * sizeof *extra)
        maps_add_text(&recorder->maps, (const char *)extra, length);
}

void recorder_take(struct recorder *recorder, unsigned extra_count)
{
    uint64_t frames[RING_EXTRA_LIMIT + 1];
    uint64_t ticks = recorder_word(recorder, recorder->tail);
    uint64_t call = recorder_word(recorder, recorder->tail + 1);
    uint64_t asked = recorder_word(recorder, recorder->tail + 2);
    unsigned op = (unsigned)(call >> 60);
    frames[0] = recorder_word(recorder, recorder->tail + 3);
    for (unsigned i = 0; i < extra_count; i++)
        frames[1 + i] = recorder_word(recorder, recorder->tail + RING_EVENT_WORDS + i);
    if (op == RING_MAPS) {
        take_maps(recorder, frames + 1, (size_t)(asked & 0xffffffffffffu));
        return;
    }
    if (op == RING_LIVE)
        layout_tell(recorder, call & 0xffffffffffffu, asked & 0xffffffffffffu);
    if (op == RING_READY)
        layout_settle(recorder);
    if (op == RING_NOTHING || op > RING_FAILED)
        return;
    uint64_t before = 0;
    bool has_before = call >> 53 & 1;
    if (has_before && extra_count > 0) {
        before = frames[1];
        memmove(frames + 1, frames + 2, --extra_count * sizeof *frames);
    }
    struct trace_event event = {
        .op = (uint8_t)op,
        .log2align = call >> 48 & 31,
        .thread = (uint16_t)(asked >> 48),
        .size = asked & 0xffffffffffffu,
        .time = clock_step(&recorder->clock, recorder->ring, ticks),
    };
    if (frames[0])
        event.site = number_stack(recorder, frames, 1 + extra_count);
    if (follow_block(recorder, &event, call & 0xffffffffffffu, before))
        write_event(recorder, &event);
}
