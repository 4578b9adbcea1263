/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "hash.h"
#include "recorder_state.h"
#include "rings.h"

static void begin_trace(struct recorder *recorder)
{
    recorder->totals =
        (struct trace_totals){.hash = HASH_START, .is_one_pool = recorder->ring->parent == 0};
    note_process(recorder->writer, recorder->ring, recorder->command);
    note_maps(recorder->writer, &recorder->maps);
}

struct recorder *recorder_open(struct ring *ring, const char *trace_path, int special,
                               char **command)
{
    struct recorder *recorder = allocate(sizeof *recorder);
    recorder->ring = ring;
    recorder->words = (const uint64_t *)(const void *)((const char *)ring + RING_DATA_OFF);
    recorder->trace_path = strdup(strcmp(trace_path, "-") == 0 ? "standard output" : trace_path);
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
    recorder->command = command;
    maps_read(&recorder->maps, ring->process);
    begin_trace(recorder);
    trace_flush(recorder->writer);
    return recorder;
}

unsigned recorder_process(const struct recorder *recorder)
{
    return recorder->ring->process;
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
        unsigned extra_count = (unsigned)(recorder_word(recorder, recorder->tail + 1) >> 54) & 63;
        recorder_take(recorder, extra_count);
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
    layout_free(&recorder->layout);
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

/* Ends the trace with what has been taken; returns its size, or -1 and errno if it cannot be
 * written.
 */
static int64_t end_trace(struct recorder *recorder, struct ending ending)
{
    note_maps(recorder->writer, &recorder->maps);
    note_end(recorder->writer, &recorder->totals, ending);
    return trace_finish(recorder->writer);
}

/* Writes what is left; returns the trace's size, or -1 having said why it cannot be written. */
static int64_t write_rest(struct recorder *recorder, struct ending ending)
{
    recorder_drain(recorder);
    int64_t size = end_trace(recorder, ending);
    if (size < 0)
        tell_failure(recorder->trace_path, errno);
    return size;
}

/* In a process of its own, so that the recorded one need not wait for the copy. */
static bool write_snapshot(struct recorder *recorder)
{
    char *path;
    if (asprintf(&path, "%s.snapshot", recorder->trace_path) < 0)
        die(STATUS_FAILED, "out of memory");
    int64_t size = -1;
    if (trace_divert(recorder->writer, path))
        size = end_trace(recorder, (struct ending){0});
    if (size < 0)
        tell_failure(path, errno);
    else
        say("%s: %" PRIu64 " event%s so far", path, recorder->totals.event_count,
            plural(recorder->totals.event_count));
    return size >= 0;
}

pid_t recorder_snapshot(struct recorder *recorder)
{
    recorder_drain(recorder);
    if (!trace_is_file(recorder->writer)) {
        say("no snapshot: %s is no file", recorder->trace_path);
        return -1;
    }
    maps_read(&recorder->maps, recorder->ring->process);
    trace_end_frame(recorder->writer);
    pid_t child = fork();
    if (child == 0)
        _exit(write_snapshot(recorder) ? STATUS_OK : STATUS_FAILED);
    if (child < 0)
        say("no snapshot: cannot fork: %s", strerror(errno));
    return child;
}

bool recorder_is_full(const struct recorder *recorder, uint64_t most)
{
    return most > 0 && (uint64_t)trace_written(recorder->writer) >= most &&
           trace_is_file(recorder->writer);
}

/* The stacks keep their numbers from one trace to the next. */
static void write_stacks(struct recorder *recorder)
{
    const struct stacks *stacks = &recorder->stacks;
    const struct stack_entry **by_number =
        allocate(((size_t)stacks->stack_count + 1) * sizeof *by_number);
    for (size_t i = 0; i < stacks->entry_count; i++)
        by_number[stacks->entries[i].number] = &stacks->entries[i];
    for (uint32_t i = 1; i <= stacks->stack_count; i++)
        trace_write_stack(recorder->writer, i, stacks->frames + by_number[i]->first,
                          by_number[i]->count);
    free(by_number);
}

bool recorder_rotate(struct recorder *recorder, const char *trace_path, bool is_quiet)
{
    trace_rename(recorder->writer, trace_path);
    int64_t size = end_trace(recorder, (struct ending){0});
    recorder->writer = size < 0 ? NULL : trace_create(recorder->trace_path, -1);
    if (!recorder->writer) {
        tell_failure(size < 0 ? trace_path : recorder->trace_path, errno);
        recorder->ring->is_unwanted = 1;
        close_recorder(recorder);
        return false;
    }
    if (!is_quiet)
        say("%s: %" PRIu64 " event%s", trace_path, recorder->totals.event_count,
            plural(recorder->totals.event_count));
    begin_trace(recorder);
    write_stacks(recorder);
    layout_carry_over(recorder);
    recorder->flushed_count = 0;
    return true;
}

void recorder_leave(struct recorder *recorder)
{
    __atomic_store_n(&recorder->ring->is_unwanted, 1, __ATOMIC_RELEASE);
}

const char *recorder_trace(const struct recorder *recorder)
{
    return recorder->trace_path;
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
