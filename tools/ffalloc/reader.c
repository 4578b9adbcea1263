/* SPDX-License-Identifier: MIT */
/* Reads traces: what the bytes of one mean. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "reader_input.h"

#define TEXT_MOST     ((uint64_t)1 << 24) /* bytes of one text or stack */
#define STACKS_MOST   ((size_t)1 << 24)
#define RECORD_SIZE_1 12u
#define RECORD_SIZE_2 24u
#define HEADER_SIZE   16u

static bool read_header(struct trace *trace)
{
    struct reader *reader = trace->reader;
    uint32_t version;
    if (reader->input_end - reader->input_at < 4)
        return reader_refuse(trace, "is no trace: it is too short");
    reader->is_compressed = memcmp(reader->input, "\x28\xb5\x2f\xfd", 4) == 0;
    const unsigned char *header = reader_take(trace, HEADER_SIZE);
    if (!header || memcmp(header, "FTRC", 4) != 0)
        return reader_refuse(trace, "is no trace of ffalloc");
    memcpy(&version, header + 4, sizeof version);
    memcpy(&reader->promised_count, header + 8, sizeof reader->promised_count);
    reader->promised_count = le64toh(reader->promised_count);
    trace->version = le32toh(version);
    if (trace->version > 2)
        return reader_refuse(trace, "was written by a newer ffalloc");
    return trace->version > 0 || reader_refuse(trace, "is no trace of ffalloc");
}

struct trace *trace_open(const char *path)
{
    struct trace *trace = allocate(sizeof *trace);
    struct reader *reader = allocate(sizeof *reader);
    trace->path = path;
    trace->reader = reader;
    reader->input = allocate(READER_INPUT_SIZE);
    reader->output = allocate(READER_OUTPUT_SIZE);
    reader->stream = ZSTD_createDStream();
    reader->descriptor = reader_open_input(path);
    trace->stacks = allocate(sizeof *trace->stacks);
    trace->stack_count = 1;
    struct stat status;
    if (reader->descriptor < 0 || fstat(reader->descriptor, &status) != 0)
        reader_refuse(trace, strerror(errno));
    else if (S_ISDIR(status.st_mode))
        reader_refuse(trace, "is a directory");
    else if (!reader_fill_input(trace))
        reader_refuse(trace, "is empty");
    else
        read_header(trace);
    return trace;
}

static void forget(struct trace *trace)
{
    for (size_t i = 0; i < trace->stack_count; i++)
        free(trace->stacks[i].frames);
    trace->stack_count = 1;
    free(trace->process);
    free(trace->maps);
    free(trace->end);
    trace->process = trace->maps = trace->end = NULL;
}

bool trace_rewind(struct trace *trace)
{
    struct reader *reader = trace->reader;
    if (lseek(reader->descriptor, 0, SEEK_SET) != 0)
        return reader_refuse(trace, "must be read twice, and a pipe cannot");
    forget(trace);
    ZSTD_initDStream(reader->stream);
    if (reader->live_size > 0)
        memset(reader->is_live, 0, reader->live_size);
    reader->is_in_frame = reader->has_ended = trace->is_truncated = false;
    reader->output_at = reader->output_end = 0;
    trace->event_count = trace->time = 0;
    trace->id_count = 0;
    trace->error = NULL;
    return reader_fill_input(trace) && read_header(trace);
}

void trace_follow(struct trace *trace, bool (*wait)(void *context), void *context)
{
    trace->reader->wait = wait;
    trace->reader->wait_context = context;
    trace->reader->is_cut_told = true;
}

void trace_close(struct trace *trace)
{
    struct reader *reader = trace->reader;
    forget(trace);
    if (reader->descriptor >= 0)
        close(reader->descriptor);
    ZSTD_freeDStream(reader->stream);
    free(reader->input);
    free(reader->output);
    free(reader->is_live);
    free(reader);
    free(trace->stacks);
    free(trace);
}

/* Whether the event's id may be what it is; makes it live or dead. */
static bool check_id(struct trace *trace, const struct trace_event *event)
{
    struct reader *reader = trace->reader;
    uint32_t id = event->id;
    bool is_new =
        event->op != TRACE_FREE && event->op != TRACE_REALLOC && event->op != TRACE_FAILED;
    if (event->op == TRACE_FAILED)
        return id == TRACE_NO_ID || (id < trace->id_count && reader->is_live[id]) ||
               reader_refuse(trace, "is damaged: a request failed for a block that is not live");
    if (is_new && id == trace->id_count && id != TRACE_NO_ID) {
        trace->id_count++;
        reader->is_live = grow(reader->is_live, &reader->live_size, trace->id_count, 1);
    }
    if (id >= trace->id_count)
        return reader_refuse(trace, "is damaged: a block's number is too high");
    if (reader->is_live[id] == is_new)
        return reader_refuse(trace, is_new ? "is damaged: a block is placed twice"
                                           : "is damaged: a block is used that is not live");
    reader->is_live[id] = event->op != TRACE_FREE;
    return true;
}

static bool take_text(struct trace *trace, char **text, uint64_t size)
{
    if (size > TEXT_MOST)
        return reader_refuse(trace, "is damaged: a text is too long");
    free(*text);
    *text = allocate((size_t)size + 1);
    if (reader_take_long(trace, *text, (size_t)size))
        return true;
    free(*text);
    *text = NULL;
    return false;
}

static bool take_stack(struct trace *trace, const struct trace_event *record)
{
    if (record->site != trace->stack_count || trace->stack_count >= STACKS_MOST ||
        record->size > 1024 * sizeof(uint64_t) || record->size % sizeof(uint64_t) != 0)
        return reader_refuse(trace, "is damaged: a stack is not valid");
    if ((trace->stack_count & (trace->stack_count - 1)) == 0) {
        trace->stacks = reallocarray(trace->stacks, 2 * trace->stack_count, sizeof *trace->stacks);
        if (!trace->stacks)
            die(STATUS_FAILED, "out of memory");
    }
    struct trace_stack *stack = &trace->stacks[trace->stack_count++];
    stack->count = (size_t)record->size / sizeof(uint64_t);
    stack->frames = allocate((size_t)record->size);
    if (!reader_take_long(trace, stack->frames, (size_t)record->size))
        return false;
    for (size_t i = 0; i < stack->count; i++)
        stack->frames[i] = le64toh(stack->frames[i]);
    return true;
}

/* A record that is no event. */
static bool take_other(struct trace *trace, const struct trace_event *record)
{
    switch (record->op) {
    case TRACE_PROCESS:
        return take_text(trace, &trace->process, record->size);
    case TRACE_MAPS:
        return take_text(trace, &trace->maps, record->size);
    case TRACE_STACK:
        return take_stack(trace, record);
    case TRACE_END:
        trace->reader->has_ended = true;
        return take_text(trace, &trace->end, record->size);
    default:
        return reader_refuse(trace, "is damaged: a record of unknown kind");
    }
}

static void decode(const struct trace *trace, const unsigned char *bytes, struct trace_event *event)
{
    if (trace->version == 2) {
        memcpy(event, bytes, RECORD_SIZE_2);
        event->thread = le16toh(event->thread);
        event->id = le32toh(event->id);
        event->size = le64toh(event->size);
        event->site = le32toh(event->site);
        event->time = le32toh(event->time);
        return;
    }
    uint32_t words[3];
    memcpy(words, bytes, RECORD_SIZE_1);
    *event = (struct trace_event){
        .op = bytes[0],
        .log2align = bytes[1],
        .thread = (uint16_t)(le32toh(words[0]) >> 16),
        .id = le32toh(words[1]),
        .size = le32toh(words[2]),
    };
}

/* At the end of the file. Always false: there is no event more. */
static bool end(struct trace *trace)
{
    struct reader *reader = trace->reader;
    if (trace->error)
        return false;
    if (reader->output_at != reader->output_end ||
        (trace->version == 2 ? !reader->has_ended : trace->event_count != reader->promised_count))
        trace->is_truncated = true;
    if (trace->is_truncated && !reader->is_cut_told)
        say("%s is truncated: this is of its first %" PRIu64 " event%s", trace->path,
            trace->event_count, plural(trace->event_count));
    reader->is_cut_told |= trace->is_truncated;
    return false;
}

bool trace_next(struct trace *trace, struct trace_event *event)
{
    size_t record_size = trace->version == 2 ? RECORD_SIZE_2 : RECORD_SIZE_1;
    while (!trace->error && !trace->is_truncated) {
        const unsigned char *bytes = reader_take(trace, record_size);
        if (!bytes)
            return end(trace);
        if (trace->reader->has_ended)
            return reader_refuse(trace, "is damaged: it goes on after its end");
        decode(trace, bytes, event);
        if (event->op >= TRACE_PROCESS && trace->version == 2) {
            if (!take_other(trace, event))
                return end(trace);
            continue;
        }
        if (event->op < TRACE_MALLOC ||
            event->op > (trace->version == 2 ? TRACE_FAILED : TRACE_ALIGNED))
            return reader_refuse(trace, "is damaged: a record of unknown kind");
        if (event->site >= trace->stack_count)
            return reader_refuse(trace, "is damaged: an event has a stack that is not there");
        if (event->log2align > 47)
            return reader_refuse(trace, "is damaged: an alignment is too large");
        if (!check_id(trace, event))
            return false;
        trace->event_count++;
        trace->time += event->time;
        return true;
    }
    return false;
}

const char *trace_op_name(unsigned op)
{
    static const char *const names[] = {"?",    "malloc",        "calloc", "realloc",
                                        "free", "aligned_alloc", "failed"};
    return names[op <= TRACE_FAILED ? op : 0];
}
