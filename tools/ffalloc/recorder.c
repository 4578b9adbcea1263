/* SPDX-License-Identifier: MIT */
#include "recorder.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "hash.h"
#include "maps.h"
#include "stacks.h"
#include "trace.h"

#define RING_SIZE (RING_DATA_OFF + RING_WORDS * sizeof(uint64_t))

struct recorder {
    struct ring *ring;
    const uint64_t *words;
    uint64_t tail;
    char *trace_path;
    struct trace_writer *writer;
    struct stacks stacks;
    struct maps maps;
    uint32_t *ids;   /* by granule of the arena: the id of the block placed there, plus 1 */
    size_t ids_size; /* bytes */
    uint32_t *free_ids;
    size_t free_count, free_size;
    uint32_t id_count;
    double us_per_tick; /* 0: not yet known */
    uint64_t event_count;
    uint64_t flushed_count; /* events that are in the file */
    time_t flushed_at;
    uint64_t failed_count;
    uint64_t microseconds; /* from the start to the last event */
    uint64_t hash;
    bool is_one_pool; /* the hash is of offsets in one pool */
};

struct ring *ring_open(const char *path)
{
    struct stat status;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    struct ring *ring = MAP_FAILED;
    if (fstat(descriptor, &status) == 0 && status.st_size == RING_SIZE)
        ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    unlink(path);
    if (ring == MAP_FAILED)
        return NULL;
    if (memcmp(ring->magic, RING_MAGIC, sizeof ring->magic) == 0 && ring->granule != 0)
        return ring;
    munmap(ring, RING_SIZE);
    return NULL;
}

void ring_close(struct ring *ring)
{
    munmap(ring, RING_SIZE);
}

static void write_json(struct trace_writer *writer, enum trace_op op, cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    if (text)
        trace_write_text(writer, op, text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(object);
}

static void write_process(struct recorder *recorder, char **command)
{
    const struct ring *ring = recorder->ring;
    cJSON *object = cJSON_CreateObject();
    cJSON *words = cJSON_AddArrayToObject(object, "command");
    for (; *command; command++)
        cJSON_AddItemToArray(words, cJSON_CreateString(*command));
    cJSON_AddStringToObject(object, "program", ring->program);
    cJSON_AddNumberToObject(object, "process", ring->process);
    cJSON_AddNumberToObject(object, "forked_from", ring->parent);
    cJSON_AddNumberToObject(object, "word_bits", ring->pointer_size * 8.0);
    cJSON_AddNumberToObject(object, "granule", (double)ring->granule);
    cJSON_AddNumberToObject(object, "page_size", ring->page_size);
    cJSON_AddNumberToObject(object, "pool", (double)ring->pool_size);
    write_json(recorder->writer, TRACE_PROCESS, object);
}

/* What is mapped, as far as it is known: at the start too, for a trace that is cut off. */
static void write_maps(struct recorder *recorder)
{
    size_t length;
    char *text = maps_text(&recorder->maps, &length);
    trace_write_text(recorder->writer, TRACE_MAPS, text, length);
    free(text);
}

struct recorder *recorder_open(struct ring *ring, const char *trace_path, int special,
                               char **command)
{
    struct recorder *recorder = allocate(sizeof *recorder);
    recorder->ring = ring;
    recorder->words = (const uint64_t *)(const void *)((const char *)ring + RING_DATA_OFF);
    recorder->trace_path = strdup(strcmp(trace_path, "-") == 0 ? "standard output" : trace_path);
    recorder->hash = HASH_START;
    recorder->is_one_pool = ring->parent == 0;
    recorder->ids_size = (size_t)(ring->arena_size / ring->granule + 1) * sizeof(uint32_t);
    recorder->ids = mmap(NULL, recorder->ids_size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (recorder->ids == MAP_FAILED) {
        say("cannot reserve %s of address space to tell blocks apart: try --pool",
            person(recorder->ids_size));
        free(recorder->trace_path);
        free(recorder);
        return NULL;
    }
    recorder->writer = trace_create(trace_path, special);
    if (!recorder->writer) {
        say("%s cannot be written: %s", trace_path, strerror(errno));
        munmap(recorder->ids, recorder->ids_size);
        free(recorder->trace_path);
        free(recorder);
        return NULL;
    }
    maps_read(&recorder->maps, ring->process);
    write_process(recorder, command);
    write_maps(recorder);
    trace_flush(recorder->writer);
    return recorder;
}

unsigned recorder_process(const struct recorder *recorder)
{
    return recorder->ring->process;
}

/* The clock's rate, from now and the start of the process. */
static void find_rate(struct recorder *recorder)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ticks = ring_ticks() - recorder->ring->start_ticks;
    uint64_t ns =
        (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - recorder->ring->start_ns;
    recorder->us_per_tick = ticks ? (double)ns / (double)ticks / 1000 : 0.001;
}

/* Microseconds since the event before. */
static uint32_t elapsed(struct recorder *recorder, uint64_t ticks)
{
    uint64_t since = ticks > recorder->ring->start_ticks ? ticks - recorder->ring->start_ticks : 0;
    uint64_t now = (uint64_t)((double)since * recorder->us_per_tick);
    uint64_t step = now > recorder->microseconds ? now - recorder->microseconds : 0;
    step = step < UINT32_MAX ? step : UINT32_MAX;
    recorder->microseconds += step;
    return (uint32_t)step;
}

/* The slot for an address of a block; NULL if it is not in the arena. */
static uint32_t *slot_of(struct recorder *recorder, uint64_t address)
{
    uint64_t offset = address - recorder->ring->arena;
    return offset < recorder->ring->arena_size ? &recorder->ids[offset / recorder->ring->granule]
                                               : NULL;
}

static uint32_t take_id(struct recorder *recorder)
{
    if (recorder->free_count > 0)
        return recorder->free_ids[--recorder->free_count];
    return recorder->id_count++;
}

/* The id of a block that dies or moves, which is forgotten; TRACE_NO_ID if it was placed before
 * the recording began. */
static uint32_t forget_id(struct recorder *recorder, uint64_t address)
{
    uint32_t *slot = slot_of(recorder, address);
    uint32_t id = slot ? *slot - 1 : TRACE_NO_ID;
    if (id != TRACE_NO_ID)
        *slot = 0;
    return id;
}

static void give_id(struct recorder *recorder, uint32_t id)
{
    recorder->free_ids = grow(recorder->free_ids, &recorder->free_size, recorder->free_count + 1,
                              sizeof *recorder->free_ids);
    recorder->free_ids[recorder->free_count++] = id;
}

static void note_offset(struct recorder *recorder, uint64_t address)
{
    const struct ring *ring = recorder->ring;
    uint64_t offset = address - ring->blocks;
    recorder->is_one_pool &= offset < ring->blocks_size;
    recorder->hash = hash_add(recorder->hash, offset / ring->granule);
}

static void write_event(struct recorder *recorder, const struct trace_event *event)
{
    trace_write_event(recorder->writer, event);
    recorder->event_count++;
    recorder->failed_count += event->op == TRACE_FAILED;
}

/* A block that is placed where one lies already: its free was not seen. */
static void write_lost_free(struct recorder *recorder, uint64_t address)
{
    uint32_t id = forget_id(recorder, address);
    if (id == TRACE_NO_ID)
        return;
    write_event(recorder, &(struct trace_event){.op = TRACE_FREE, .id = id});
    give_id(recorder, id);
}

/* Fills in the id. False if the event is of no block of this trace. */
static bool follow_block(struct recorder *recorder, struct trace_event *event, uint64_t block,
                         uint64_t before)
{
    if (event->op == TRACE_FAILED) {
        uint32_t *slot = before ? slot_of(recorder, before) : NULL;
        event->id = slot ? *slot - 1 : TRACE_NO_ID;
        return true;
    }
    if (event->op == TRACE_FREE) {
        event->id = forget_id(recorder, block);
        if (event->id != TRACE_NO_ID)
            give_id(recorder, event->id);
        return event->id != TRACE_NO_ID;
    }
    event->id = event->op == TRACE_REALLOC ? forget_id(recorder, before) : TRACE_NO_ID;
    write_lost_free(recorder, block);
    if (event->id == TRACE_NO_ID) {
        event->op = event->op == TRACE_REALLOC ? TRACE_MALLOC : event->op;
        event->id = take_id(recorder);
    }
    uint32_t *slot = slot_of(recorder, block);
    if (slot)
        *slot = event->id + 1;
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
        .time = elapsed(recorder, ticks),
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
    if (now.tv_sec == recorder->flushed_at || recorder->event_count == recorder->flushed_count)
        return;
    trace_flush(recorder->writer);
    recorder->flushed_at = now.tv_sec;
    recorder->flushed_count = recorder->event_count;
}

bool recorder_drain(struct recorder *recorder)
{
    struct ring *ring = recorder->ring;
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    bool has_any = head != recorder->tail;
    if (has_any && recorder->us_per_tick == 0)
        find_rate(recorder);
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

static void write_end(struct recorder *recorder, struct ending ending)
{
    char hash[20];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "events", (double)recorder->event_count);
    cJSON_AddNumberToObject(object, "failed", (double)recorder->failed_count);
    snprintf(hash, sizeof hash, "%016" PRIx64, recorder->hash);
    if (recorder->is_one_pool)
        cJSON_AddStringToObject(object, "offsets", hash);
    if (ending.is_known && WIFEXITED(ending.status))
        cJSON_AddNumberToObject(object, "status", WEXITSTATUS(ending.status));
    if (ending.is_known && WIFSIGNALED(ending.status))
        cJSON_AddNumberToObject(object, "signal", WTERMSIG(ending.status));
    write_json(recorder->writer, TRACE_END, object);
}

/* The part of the process's time that recording took, as far as it knows itself. */
static double overhead_percent(const struct recorder *recorder)
{
    const struct ring *ring = recorder->ring;
    double sampled =
        ring->sampled_count ? (double)ring->sampled_ticks / (double)ring->sampled_count : 0;
    double ticks = sampled * (double)recorder->event_count + (double)ring->waited_ticks;
    double all = (double)recorder->microseconds / recorder->us_per_tick;
    return all > ticks ? 100 * ticks / (all - ticks) : 0;
}

static void close_recorder(struct recorder *recorder)
{
    stacks_free(&recorder->stacks);
    maps_free(&recorder->maps);
    munmap(recorder->ids, recorder->ids_size);
    free(recorder->free_ids);
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
    write_maps(recorder);
    write_end(recorder, ending);
    int64_t size = trace_finish(recorder->writer);
    if (size < 0)
        tell_failure(recorder->trace_path, errno);
    return size;
}

bool recorder_finish(struct recorder *recorder, struct ending ending, bool is_quiet)
{
    int64_t size = write_rest(recorder, ending);
    if (size >= 0 && !is_quiet)
        say("%s: %" PRIu64 " event%s in %.2f s, %s (%.1f bytes an event); recording added %.0f %%",
            recorder->trace_path, recorder->event_count, plural(recorder->event_count),
            (double)recorder->microseconds / 1e6, person((uint64_t)size),
            recorder->event_count ? (double)size / (double)recorder->event_count : 0.0,
            overhead_percent(recorder));
    close_recorder(recorder);
    return size >= 0;
}

bool recorder_finish_as(struct recorder *recorder, const char *trace_path, bool is_quiet)
{
    recorder_drain(recorder);
    const char *slash = strrchr(recorder->ring->program, '/');
    const char *program = slash ? slash + 1 : recorder->ring->program;
    bool is_kept = recorder->event_count > 0 && trace_rename(recorder->writer, trace_path);
    int64_t size = 0;
    if (is_kept)
        size = write_rest(recorder, (struct ending){0});
    else
        trace_abandon(recorder->writer);
    if (recorder->event_count > 0 && size >= 0 && !is_quiet)
        say("%s became another program; its %" PRIu64 " event%s before that are %s%s", program,
            recorder->event_count, plural(recorder->event_count),
            is_kept ? "in " : "dropped: the output is no file", is_kept ? trace_path : "");
    close_recorder(recorder);
    return size >= 0;
}
