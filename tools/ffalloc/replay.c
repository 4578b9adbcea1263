/* SPDX-License-Identifier: MIT */
/* The replay, and `ffalloc replay`. */
#include "replay.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "command.h"
#include "hash.h"
#include "text.h"

#define MOST_LOG2 (sizeof(size_t) == 8 ? 42 : 31)

/* Where the blocks begin: so far that no alignment but an absurd one knows the difference. */
#define BLOCKS_ALIGNMENT ((size_t)1 << 30)

/* Memory for a pool of `size` bytes; returns where the pool begins, or NULL. */
static unsigned char *reserve(struct replay *replay, size_t size)
{
    size_t metadata_size = ffalloc_metadata_size(size, replay->granule);
    size_t reserved_size = size + BLOCKS_ALIGNMENT;
    void *reserved =
        mmap(NULL, reserved_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        return NULL;
    replay->memory = reserved;
    replay->memory_size = reserved_size;
    uintptr_t start = (uintptr_t)reserved;
    start += -(start + metadata_size) & (BLOCKS_ALIGNMENT - 1);
    uintptr_t first = start & ~(uintptr_t)(REPLAY_PAGE - 1);
    if (mprotect((void *)first, start + size - first, PROT_READ | PROT_WRITE) == 0)
        return (unsigned char *)start;
    munmap(reserved, reserved_size);
    return NULL;
}

bool replay_open(struct replay *replay, uint64_t size, size_t granule)
{
    *replay = (struct replay){.granule = granule, .hash = HASH_START};
    while ((size_t)1 << replay->granule_log2 < granule)
        replay->granule_log2++;
    bool is_asked = size != 0;
    size = is_asked ? size : (uint64_t)1 << MOST_LOG2;
    if (size > SIZE_MAX / 2 || ffalloc_metadata_size((size_t)size, granule) == 0)
        return false;
    unsigned char *start;
    while (!(start = reserve(replay, (size_t)size))) {
        if (is_asked || size < 1 << 20)
            die(STATUS_FAILED, "cannot reserve %s of address space: %s", person(size),
                strerror(errno));
        size /= 2;
    }
    struct ffalloc_config config = {.granule = granule, .is_zeroed = true};
    replay->pool = ffalloc_init_with(start, (size_t)size, &config);
    if (!replay->pool) {
        munmap(replay->memory, replay->memory_size);
        return false;
    }
    struct ffalloc_marks marks;
    ffalloc_marks(replay->pool, &marks);
    replay->blocks = marks.blocks;
    return true;
}

void replay_close(struct replay *replay)
{
    munmap(replay->memory, replay->memory_size);
    free(replay->live);
}

static uint64_t round_up(const struct replay *replay, uint64_t size)
{
    size += size == 0;
    return (size + replay->granule - 1) & ~(uint64_t)(replay->granule - 1);
}

/* What realloc does, without the copy. */
static void *reallocate(struct replay *replay, unsigned char *block, size_t size)
{
    if (!block)
        return ffalloc_malloc(replay->pool, size);
    if (ffalloc_resize(replay->pool, block, size))
        return block;
    void *moved = ffalloc_malloc(replay->pool, size);
    if (moved)
        ffalloc_free(replay->pool, block);
    return moved;
}

static void *place(struct replay *replay, const struct trace_event *event,
                   const struct replay_block *block)
{
    if (event->size > SIZE_MAX / 2)
        return NULL;
    size_t size = (size_t)event->size;
    if (event->op == TRACE_REALLOC)
        return reallocate(replay, block->address, size);
    if (event->log2align > 0)
        return ffalloc_aligned_alloc(replay->pool, (size_t)1 << event->log2align, size);
    return ffalloc_malloc(replay->pool, size);
}

static void forget(struct replay *replay, struct replay_block *block)
{
    if (!block->address)
        return;
    replay->payload -= block->size;
    replay->rounded -= round_up(replay, block->size);
    block->address = NULL;
}

static void note_marks(struct replay *replay, const struct trace_event *event, uint64_t end,
                       uint64_t number)
{
    if (replay->payload > replay->payload_peak) {
        replay->payload_peak = replay->payload;
        replay->payload_peak_event = number;
    }
    if (end <= replay->mark)
        return;
    replay->mark = end;
    replay->at_mark.event = number;
    replay->at_mark.asked = *event;
    replay->at_mark.payload = replay->payload;
    replay->at_mark.rounded = replay->rounded;
}

bool replay_event(struct replay *replay, const struct trace_event *event, uint64_t number)
{
    if (event->op == TRACE_FAILED)
        return true;
    replay->live =
        grow(replay->live, &replay->live_size, (size_t)event->id + 1, sizeof *replay->live);
    struct replay_block *block = &replay->live[event->id];
    if (event->op == TRACE_FREE) {
        ffalloc_free(replay->pool, block->address);
        forget(replay, block);
        return true;
    }
    unsigned char *address = place(replay, event, block);
    if (!address) {
        replay->hash = hash_add(replay->hash, HASH_FAILED);
        if (replay->failed_count++ == 0)
            replay->first_failed = number;
        return false;
    }
    uint64_t offset = (uint64_t)(address - replay->blocks);
    replay->hash = hash_add(replay->hash, offset >> replay->granule_log2);
    forget(replay, block);
    *block = (struct replay_block){address, event->size};
    uint64_t rounded = round_up(replay, event->size);
    replay->payload += event->size;
    replay->rounded += rounded;
    note_marks(replay, event, offset + rounded, number);
    return true;
}

void need_valid(const struct trace *trace)
{
    if (trace->error)
        die(STATUS_FAILED, "%s: %s", trace->path, trace->error);
}

double trace_number(const char *json, const char *name)
{
    cJSON *object = json ? cJSON_Parse(json) : NULL;
    cJSON *value = cJSON_GetObjectItem(object, name);
    double number = cJSON_IsNumber(value) ? value->valuedouble : -1;
    cJSON_Delete(object);
    return number;
}

size_t replay_granule(const struct trace *trace, size_t asked)
{
    double recorded = trace_number(trace->process, "granule");
    bool is_valid =
        recorded >= 8 && recorded <= 4096 && !((size_t)recorded & ((size_t)recorded - 1));
    return asked ? asked : is_valid ? (size_t)recorded : 16;
}

/* The command --------------------------------------------------------------------------- */

struct arguments {
    const char *path;
    uint64_t pool;
    uint64_t usable;
    size_t granule;
    bool is_verified;
    bool is_json;
};

static const struct argp_option options[] = {
    {"pool", 'p', "SIZE", 0, "memory of the pool, metadata included; default: as much as there is",
     0},
    {"usable", 'u', "BYTES", 0, "memory for blocks, without the metadata", 0},
    {"granule", 'g', "BYTES", 0, "8 to 4096; default: as recorded, or 16", 0},
    {"verify", 'V', NULL, 0, "check every invariant of the heap after each call", 0},
    {"json", 'j', NULL, 0, "print an object", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'p':
        arguments->pool = parse_size_argument("--pool", text);
        break;
    case 'u':
        arguments->usable = parse_size_argument("--usable", text);
        break;
    case 'g':
        arguments->granule = parse_granule_argument(text);
        break;
    case 'V':
        arguments->is_verified = true;
        break;
    case 'j':
        arguments->is_json = true;
        break;
    case ARGP_KEY_ARG:
        if (arguments->path)
            die(STATUS_USAGE, "replay: one trace at a time, not also %s", text);
        arguments->path = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {options,
                                 parse,
                                 "TRACE",
                                 "Makes the calls of a trace again, in a pool of the size given, "
                                 "and prints where its blocks went: "
                                 "the hash is the same on every machine that places them alike."
                                 "\vThe status is 1 if a request failed.",
                                 NULL,
                                 NULL,
                                 NULL};

static void verify(const struct replay *replay, const struct trace *trace)
{
    struct ffalloc_fault fault;
    if (!ffalloc_check(replay->pool, &fault))
        die(STATUS_NO, "%s: after event %" PRIu64 " rule %s does not hold at offset %zu",
            trace->path, trace->event_count, fault.rule, fault.offset);
}

/* Whether the hash is that of the recorded run: "yes", "no", or "unknown" if that had several
 * pools, another granule, or requests that failed here. */
static const char *compare(const struct replay *replay, const struct trace *trace)
{
    cJSON *end = trace->end ? cJSON_Parse(trace->end) : NULL;
    const char *recorded = cJSON_GetStringValue(cJSON_GetObjectItem(end, "offsets"));
    const char *answer = "unknown";
    if (recorded && replay->granule == replay_granule(trace, 0) && replay->failed_count == 0)
        answer = strtoull(recorded, NULL, 16) == replay->hash ? "yes" : "no";
    cJSON_Delete(end);
    return answer;
}

static void print_text(const struct replay *replay, const struct trace *trace,
                       const struct ffalloc_stats *stats)
{
    printf("events          %" PRIu64 "\n"
           "granule         %zu bytes\n"
           "usable          %zu bytes\n"
           "high-water mark %zu bytes\n"
           "failed          %" PRIu64 "%s\n"
           "live at the end %zu block%s, %zu bytes\n"
           "as recorded     %s\n"
           "offsets         %016" PRIx64 "\n",
           trace->event_count, replay->granule, stats->usable_size, stats->high_water_size,
           replay->failed_count,
           replay->failed_count > 1 ? " requests"
           : replay->failed_count   ? " request"
                                    : "",
           stats->block_count, plural(stats->block_count), stats->used_size, compare(replay, trace),
           replay->hash);
    if (replay->failed_count)
        printf("first failure   event %" PRIu64 "\n", replay->first_failed);
}

static void print_json(const struct replay *replay, const struct trace *trace,
                       const struct ffalloc_stats *stats)
{
    char hash[20];
    cJSON *object = cJSON_CreateObject();
    snprintf(hash, sizeof hash, "%016" PRIx64, replay->hash);
    cJSON_AddStringToObject(object, "trace", printable(trace->path));
    cJSON_AddNumberToObject(object, "events", (double)trace->event_count);
    cJSON_AddNumberToObject(object, "granule", (double)replay->granule);
    cJSON_AddNumberToObject(object, "usable", (double)stats->usable_size);
    cJSON_AddNumberToObject(object, "high_water", (double)stats->high_water_size);
    cJSON_AddNumberToObject(object, "failed", (double)replay->failed_count);
    if (replay->failed_count)
        cJSON_AddNumberToObject(object, "first_failed", (double)replay->first_failed);
    cJSON_AddNumberToObject(object, "blocks", (double)stats->block_count);
    cJSON_AddNumberToObject(object, "used", (double)stats->used_size);
    cJSON_AddStringToObject(object, "as_recorded", compare(replay, trace));
    cJSON_AddStringToObject(object, "offsets", hash);
    char *text = cJSON_Print(object);
    puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

int command_replay(int argc, char **argv)
{
    struct arguments arguments = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (!arguments.path)
        die(STATUS_USAGE, "replay: no trace is named");
    if (arguments.pool && arguments.usable)
        die(STATUS_USAGE, "replay: --pool and --usable are two ways to say one thing");
    struct trace *trace = trace_open(arguments.path);
    struct trace_event event;
    struct replay replay;
    bool has_event = trace_next(trace, &event); /* by then what was recorded is known */
    need_valid(trace);
    size_t granule = replay_granule(trace, arguments.granule);
    uint64_t pool = arguments.usable
                        ? ffalloc_pool_size_for((size_t)(arguments.usable / granule), granule)
                        : arguments.pool;
    if ((arguments.usable && !pool) || !replay_open(&replay, pool, granule))
        die(STATUS_USAGE, "replay: no pool can have that size");
    for (; has_event; has_event = trace_next(trace, &event)) {
        replay_event(&replay, &event, trace->event_count);
        if (arguments.is_verified)
            verify(&replay, trace);
    }
    need_valid(trace);
    struct ffalloc_stats stats;
    ffalloc_stats(replay.pool, &stats);
    if (arguments.is_json)
        print_json(&replay, trace, &stats);
    else
        print_text(&replay, trace, &stats);
    finish_output();
    return replay.failed_count ? STATUS_NO : STATUS_OK;
}
