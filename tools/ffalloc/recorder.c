/* SPDX-License-Identifier: MIT */
#include "recorder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "block_ids.h"
#include "command.h"
#include "event_clock.h"
#include "hash.h"
#include "maps.h"
#include "rings.h"
#include "stacks.h"
#include "trace.h"

struct recorder {
    struct ring *ring;
    const uint64_t *words;
    uint64_t tail;
    char *trace_path;
    struct trace_writer *writer;
    struct stacks stacks;
    struct maps maps;
    struct block_ids ids;
    struct event_clock clock;
    struct trace_totals totals;
    uint64_t flushed_count; /* events that are in the file */
    time_t flushed_at;
};

struct recorder *recorder_open(struct ring *ring, const char *trace_path, int special,
                               char **command)
{
    struct recorder *recorder = allocate(sizeof *recorder);
    recorder->ring = ring;
    recorder->words = (const uint64_t *)(const void *)((const char *)ring + RING_DATA_OFF);
    recorder->trace_path = strdup(strcmp(trace_path, "-") == 0 ? "standard output" : trace_path);
    recorder->totals.hash = HASH_START;
    recorder->totals.is_one_pool = ring->parent == 0;
    if (!ids_open(&recorder->ids, ring->arena, ring->arena_size, ring->granule)) {
        say("cannot reserve %s of address space to tell blocks apart: try --pool",
            person(ids_size(ring->arena_size, ring->granule)));
        free(recorder->trace_path);
        free(recorder);
        return NULL;
    }
    recorder->writer = trace_create(trace_path, special);
    if (!recorder->writer) {
        say("%s cannot be written: %s", trace_path, strerror(errno));
        ids_close(&recorder->ids);
        free(recorder->trace_path);
        free(recorder);
        return NULL;
    }
    maps_read(&recorder->maps, ring->process);
    note_process(recorder->writer, ring, command);
    note_maps(recorder->writer, &recorder->maps);
    trace_flush(recorder->writer);
    return recorder;
}

unsigned recorder_process(const struct recorder *recorder)
{
    return recorder->ring->process;
}

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

/* A block that is placed where one lies already: its free was not seen. */
static void write_lost_free(struct recorder *recorder, uint64_t address)
{
    uint32_t id = ids_forget(&recorder->ids, address);
    if (id == TRACE_NO_ID)
        return;
    write_event(recorder, &(struct trace_event){.op = TRACE_FREE, .id = id});
    ids_give(&recorder->ids, id);
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
        event->id = ids_forget(&recorder->ids, block);
        if (event->id != TRACE_NO_ID)
            ids_give(&recorder->ids, event->id);
        return event->id != TRACE_NO_ID;
    }
    event->id = event->op == TRACE_REALLOC ? ids_forget(&recorder->ids, before) : TRACE_NO_ID;
    write_lost_free(recorder, block);
    if (event->id == TRACE_NO_ID) {
        event->op = event->op == TRACE_REALLOC ? TRACE_MALLOC : event->op;
        event->id = ids_take(&recorder->ids);
    }
    ids_place(&recorder->ids, block, event->id);
    note_offset(recorder, block);
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

static uint64_t word_at(const struct recorder *recorder, uint64_t index)
{
    return recorder->words[index & (RING_WORDS - 1)];
}

static void take_maps(struct recorder *recorder, const uint64_t *extra, size_t length)
{
    if (length <= RING_EXTRA_LIMIT * sizeof *extra)
        maps_add_text(&recorder->maps, (const char *)extra, length);
}

static void take_event(struct recorder *recorder, unsigned extra_count)
{
    uint64_t frames[RING_EXTRA_LIMIT + 1];
    uint64_t ticks = word_at(recorder, recorder->tail);
    uint64_t call = word_at(recorder, recorder->tail + 1);
    uint64_t asked = word_at(recorder, recorder->tail + 2);
    unsigned op = (unsigned)(call >> 60);
    frames[0] = word_at(recorder, recorder->tail + 3);
    for (unsigned i = 0; i < extra_count; i++)
        frames[1 + i] = word_at(recorder, recorder->tail + RING_EVENT_WORDS + i);
    if (op == RING_MAPS) {
        take_maps(recorder, frames + 1, (size_t)(asked & 0xffffffffffffu));
        return;
    }
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

/* Once a second what there is goes to the file, should nothing come after it. */
static void flush_sometimes(struct recorder *recorder)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec == recorder->flushed_at ||
        recorder->totals.event_count == recorder->flushed_count)
        return;
    trace_flush(recorder->writer);
    recorder->flushed_at = now.tv_sec;
    recorder->flushed_count = recorder->totals.event_count;
}

bool recorder_drain(struct recorder *recorder)
{
    struct ring *ring = recorder->ring;
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    bool has_any = head != recorder->tail;
    if (has_any && recorder->clock.us_per_tick == 0)
        clock_find_rate(&recorder->clock, ring);
    if (head - recorder->tail > RING_WORDS) /* not written by us */
        head = recorder->tail;
    while (recorder->tail < head) {
        unsigned extra_count = (unsigned)(word_at(recorder, recorder->tail + 1) >> 54) & 63;
        take_event(recorder, extra_count);
        recorder->tail += RING_EVENT_WORDS + extra_count;
        if (recorder->tail - ring->tail > RING_WORDS / 64)
            __atomic_store_n(&ring->tail, recorder->tail, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&ring->tail, recorder->tail, __ATOMIC_RELEASE);
    __atomic_fetch_add(&ring->reader_beat, 1, __ATOMIC_RELAXED);
    flush_sometimes(recorder);
    return has_any;
}

static void close_recorder(struct recorder *recorder)
{
    stacks_free(&recorder->stacks);
    maps_free(&recorder->maps);
    ids_close(&recorder->ids);
    free(recorder->trace_path);
    ring_close(recorder->ring);
    free(recorder);
}

static void tell_failure(const char *path, int error)
{
    char *unfinished = trace_unfinished(path);
    bool is_there = access(unfinished, F_OK) == 0;
    say("%s cannot be written: %s%s%s", path, strerror(error), is_there ? "; so far it is in " : "",
        is_there ? unfinished : "");
    free(unfinished);
}

/* Writes what is left; returns the trace's size, or -1 having said why it cannot be written. */
static int64_t write_rest(struct recorder *recorder, struct ending ending)
{
    recorder_drain(recorder);
    note_maps(recorder->writer, &recorder->maps);
    note_end(recorder->writer, &recorder->totals, ending);
    int64_t size = trace_finish(recorder->writer);
    if (size < 0)
        tell_failure(recorder->trace_path, errno);
    return size;
}

bool recorder_finish(struct recorder *recorder, struct ending ending, bool is_quiet)
{
    int64_t size = write_rest(recorder, ending);
    if (size >= 0 && !is_quiet)
        say("%s: %" PRIu64 " event%s in %.2f s, %s (%.1f bytes an event)", recorder->trace_path,
            recorder->totals.event_count, plural(recorder->totals.event_count),
            (double)recorder->clock.microseconds / 1e6, person((uint64_t)size),
            recorder->totals.event_count ? (double)size / (double)recorder->totals.event_count
                                         : 0.0);
    close_recorder(recorder);
    return size >= 0;
}

bool recorder_finish_as(struct recorder *recorder, const char *trace_path, bool is_quiet)
{
    recorder_drain(recorder);
    const char *slash = strrchr(recorder->ring->program, '/');
    const char *program = slash ? slash + 1 : recorder->ring->program;
    bool is_kept = recorder->totals.event_count > 0 && trace_rename(recorder->writer, trace_path);
    int64_t size = 0;
    if (is_kept)
        size = write_rest(recorder, (struct ending){0});
    else
        trace_abandon(recorder->writer);
    if (recorder->totals.event_count > 0 && size >= 0 && !is_quiet)
        say("%s became another program; its %" PRIu64 " event%s before that are %s%s", program,
            recorder->totals.event_count, plural(recorder->totals.event_count),
            is_kept ? "in " : "dropped: the output is no file", is_kept ? trace_path : "");
    close_recorder(recorder);
    return size >= 0;
}
