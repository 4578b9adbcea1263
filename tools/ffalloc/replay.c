/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "annotate.h"
#include "command.h"
#include "hash.h"

/* Valgrind notes each 64 KiB that are reserved: 4 TiB take a minute, and `why` replays a hundred
 * times. */
#define MOST_LOG2 (sizeof(size_t) < 8 ? 31 : RUNNING_ON_VALGRIND ? 34 : 42)

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
    /* Not by mprotect: for that memcheck looks at each byte. */
    void *opened = mmap((void *)first, start + size - first, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (opened != MAP_FAILED)
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

bool replay_open_guarded(struct replay *replay, uint64_t size, size_t granule, size_t guard_size)
{
    if (!replay_open(replay, size, granule))
        return false;
    replay->guard_size = guard_size;
    if (guard_size == 0 || ffalloc_malloc(replay->pool, (size_t)replay_gross(replay, 0)))
        return true;
    replay_close(replay);
    return false;
}

void replay_close(struct replay *replay)
{
    munmap(replay->memory, replay->memory_size);
    free(replay->live);
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
    size_t size = (size_t)replay_gross(replay, event->size);
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
    if (!block->is_nobodys) {
        replay->payload -= block->size;
        replay->rounded -= replay_rounded(replay_gross(replay, block->size), replay->granule);
    }
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
    *block = (struct replay_block){address, event->size, event->thread == TRACE_NOBODY};
    uint64_t rounded = replay_rounded(replay_gross(replay, event->size), replay->granule);
    if (!block->is_nobodys) {
        replay->payload += event->size;
        replay->rounded += rounded;
    }
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
