/* SPDX-License-Identifier: MIT */
#include "twin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory that a pool may not touch yet is out of bounds for AddressSanitizer, too. */
#if defined(__has_feature)
#define HAS_ASAN __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#else
#define HAS_ASAN 0
#endif

#if HAS_ASAN
#include <sanitizer/asan_interface.h>
#define HIDE(start, size) __asan_poison_memory_region(start, size)
#define SHOW(start, size) __asan_unpoison_memory_region(start, size)
#else
#define HIDE(start, size) ((void)(start))
#define SHOW(start, size) ((void)(start))
#endif

/* Of the call under way: the pool it is on, and what was told of it, if anything. */
static struct {
    struct twin *twin;
    unsigned told_count;
    const void *told_address;
    enum ffalloc_error told_kind;
    bool is_refused; /* a step that the pool was to grow */
} call;

static void start_call(struct twin *twin)
{
    call.twin = twin;
    call.told_count = 0;
    call.is_refused = false;
}

static void on_error(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    (void)pool;
    call.told_count++;
    call.told_address = address;
    call.told_kind = kind;
}

static bool on_open(struct ffalloc_pool *pool, const struct ffalloc_piece *pieces, unsigned count)
{
    struct twin *twin = call.twin;
    (void)pool;
    if (twin->refusals >> twin->open_count++ % 8 & 1) {
        call.is_refused = true;
        return false;
    }
    for (unsigned i = 0; i < count; i++)
        SHOW(pieces[i].start, pieces[i].size);
    return true;
}

static bool differs(struct twin *twin, const char *what, size_t size, size_t core, size_t model)
{
    snprintf(twin->fault, sizeof twin->fault, "%s(%zu): core %zd, model %zd (granules)", what, size,
             (ptrdiff_t)core, (ptrdiff_t)model);
    return false;
}

/* The call under way gave what the model has, and told nothing. */
static bool agrees(struct twin *twin, const char *what, size_t size, size_t core, size_t model)
{
    if (call.told_count == 0)
        return core == model || differs(twin, what, size, core, model);
    snprintf(twin->fault, sizeof twin->fault, "%s(%zu) told error %u of offset %zd", what, size,
             (unsigned)call.told_kind, (const unsigned char *)call.told_address - twin->blocks);
    return false;
}

static size_t granules_of(const struct twin *twin, size_t size)
{
    return size == 0 ? 1 : size / twin->granule + (size % twin->granule != 0);
}

static size_t granule_at(const struct twin *twin, const unsigned char *block)
{
    return block ? (size_t)(block - twin->blocks) / twin->granule : MODEL_NONE;
}

bool twin_init_with(struct twin *twin, size_t size, size_t misalignment, size_t slot_count,
                    const struct ffalloc_config *config, uint8_t refusals)
{
    *twin =
        (struct twin){.granule = config->granule, .slot_count = slot_count, .refusals = refusals};
    size_t whole = (size + misalignment + TWIN_ALIGNMENT - 1) / TWIN_ALIGNMENT * TWIN_ALIGNMENT;
    twin->memory = aligned_alloc(TWIN_ALIGNMENT, whole);
    memset(twin->memory, config->is_zeroed ? 0 : 0xa5, size + misalignment);
    struct ffalloc_config ours = *config;
    ours.on_error = on_error;
    if (config->open_unit) {
        ours.on_open = on_open;
        HIDE(twin->memory, size + misalignment);
    }
    start_call(twin);
    twin->pool = ffalloc_init_with(twin->memory + misalignment, size, &ours);
    if (!twin->pool) {
        free(twin->memory);
        return false;
    }
    struct ffalloc_marks marks;
    ffalloc_marks(twin->pool, &marks);
    twin->blocks = marks.blocks;
    model_init(&twin->model, marks.usable_size / twin->granule,
               (uintptr_t)twin->blocks / twin->granule);
    twin->slots = calloc(slot_count, sizeof *twin->slots);
    return true;
}

bool twin_init(struct twin *twin, size_t size, size_t granule, size_t misalignment,
               size_t slot_count)
{
    struct ffalloc_config config = {.granule = granule};
    return twin_init_with(twin, size, misalignment, slot_count, &config, 0);
}

void twin_destroy(struct twin *twin)
{
    model_destroy(&twin->model);
    free(twin->slots);
    free(twin->memory);
}

/* The model has what the pool has opened, which is judged by test_grow.c. */
static void follow(struct twin *twin)
{
    struct ffalloc_marks marks;
    ffalloc_marks(twin->pool, &marks);
    model_extend(&twin->model, marks.usable_size / twin->granule);
}

/* A block of `before` granules has room for `size` bytes now. */
static void count_resize(struct twin *twin, size_t before, size_t size)
{
    size_t *largest = &twin->counts.largest_request_size;
    if (granules_of(twin, size) > before && size > *largest)
        *largest = size;
}

/* A request for `size` bytes was served, or not. */
static void count_request(struct twin *twin, size_t size, bool is_served)
{
    struct ffalloc_stats *counts = &twin->counts;
    count_resize(twin, 0, size);
    counts->failed_count += !is_served;
    counts->alloc_count += is_served;
    if (is_served)
        counts->slack_total_size += granules_of(twin, size) * twin->granule - size;
}

/* Notes a placed block and stamps its ends, so that overlapping blocks are seen. */
static void settle(struct twin *twin, size_t slot, unsigned char *block, size_t size)
{
    unsigned char stamp = (unsigned char)(slot * 37 + size);
    twin->slots[slot] = (struct twin_slot){block, size, stamp};
    twin->hash = twin->hash * 0x9e3779b97f4a7c15u + granule_at(twin, block) + 1;
    if (size > 0) {
        block[size - 1] = stamp;
        block[0] = stamp;
    }
}

static bool is_stamped(const struct twin_slot *slot, size_t size)
{
    return size == 0 || (slot->block[0] == slot->stamp &&
                         (size < slot->size || size == 1 || slot->block[size - 1] == slot->stamp));
}

bool twin_alloc(struct twin *twin, size_t slot, size_t size, size_t alignment)
{
    start_call(twin);
    unsigned char *block = alignment ? ffalloc_aligned_alloc(twin->pool, alignment, size)
                                     : ffalloc_malloc(twin->pool, size);
    follow(twin);
    size_t alignment_granules = alignment > twin->granule ? alignment / twin->granule : 1;
    size_t expected = model_alloc(&twin->model, granules_of(twin, size), alignment_granules);
    if (!agrees(twin, "alloc", size, granule_at(twin, block), expected))
        return false;
    if (alignment && block && (uintptr_t)block % alignment)
        return differs(twin, "misaligned", size, granule_at(twin, block), expected);
    count_request(twin, size, block);
    if (block)
        settle(twin, slot, block, size);
    return true;
}

bool twin_calloc(struct twin *twin, size_t slot, size_t count, size_t size)
{
    size_t total = size && count > SIZE_MAX / size ? SIZE_MAX : count * size;
    start_call(twin);
    unsigned char *block = ffalloc_calloc(twin->pool, count, size);
    follow(twin);
    size_t expected = model_alloc(&twin->model, granules_of(twin, total), 1);
    if (!agrees(twin, "calloc", total, granule_at(twin, block), expected))
        return false;
    count_request(twin, total, block);
    if (!block)
        return true;
    for (size_t i = 0; i < total; i++)
        if (block[i])
            return differs(twin, "calloc: not zero", total, i, 0);
    settle(twin, slot, block, total);
    return true;
}

bool twin_realloc(struct twin *twin, size_t slot, size_t size)
{
    struct twin_slot *old = &twin->slots[slot];
    size_t start = granule_at(twin, old->block);
    start_call(twin);
    unsigned char *block = ffalloc_realloc(twin->pool, old->block, size);
    follow(twin);
    size_t before = granules_of(twin, old->size);
    /* A pool that could not grow where the block ends may have grown to move it. */
    bool is_moved = call.is_refused && block != old->block;
    size_t expected = is_moved ? model_move(&twin->model, start, granules_of(twin, size))
                               : model_realloc(&twin->model, start, granules_of(twin, size));
    if (!agrees(twin, "realloc", size, granule_at(twin, block), expected))
        return false;
    if (expected != start)
        count_request(twin, size, block);
    else
        count_resize(twin, before, size);
    if (!block)
        return is_stamped(old, old->size) || differs(twin, "realloc: lost", size, start, start);
    old->block = block;
    if (!is_stamped(old, size < old->size ? size : old->size))
        return differs(twin, "realloc: contents", size, granule_at(twin, block), expected);
    settle(twin, slot, block, size);
    return true;
}

bool twin_resize(struct twin *twin, size_t slot, size_t size)
{
    struct twin_slot *old = &twin->slots[slot];
    size_t start = granule_at(twin, old->block);
    size_t before = granules_of(twin, old->size);
    start_call(twin);
    bool is_done = ffalloc_resize(twin->pool, old->block, size);
    follow(twin);
    bool expected = model_resize(&twin->model, start, granules_of(twin, size));
    if (!agrees(twin, "resize", size, is_done, expected))
        return false;
    if (!expected)
        return true;
    count_resize(twin, before, size);
    settle(twin, slot, old->block, size);
    return true;
}

bool twin_free(struct twin *twin, size_t slot)
{
    struct twin_slot *old = &twin->slots[slot];
    size_t start = granule_at(twin, old->block);
    if (!is_stamped(old, old->size))
        return differs(twin, "free: overwritten", old->size, start, start);
    size_t expected = granules_of(twin, old->size) * twin->granule;
    start_call(twin);
    if (!agrees(twin, "usable_size", old->size, ffalloc_usable_size(twin->pool, old->block),
                expected) ||
        !agrees(twin, "release", old->size, ffalloc_release(twin->pool, old->block), expected))
        return false;
    model_free(&twin->model, start);
    old->block = NULL;
    return true;
}

bool twin_find(struct twin *twin, size_t off)
{
    const struct model_block *expected = model_find(&twin->model, off / twin->granule);
    struct ffalloc_block block = {NULL, 0, false};
    start_call(twin);
    bool is_found = ffalloc_find(twin->pool, twin->blocks + off, &block);
    if (!agrees(twin, "find", off, is_found, expected != NULL))
        return false;
    if (ffalloc_owns(twin->pool, twin->blocks + off) != is_found)
        return differs(twin, "owns", off, !is_found, is_found);
    return !expected ||
           (agrees(twin, "find: start", off, granule_at(twin, block.address), expected->start) &&
            agrees(twin, "find: size", off, block.size / twin->granule, expected->count) &&
            agrees(twin, "find: used", off, block.is_used, expected->is_used));
}

/* Makes the call; returns what it gives, 0 as it should, as a number. */
static size_t misuse(struct ffalloc_pool *pool, void *address, unsigned which)
{
    switch (which % 5) {
    case 0:
        ffalloc_free(pool, address);
        return 0;
    case 1:
        return ffalloc_realloc(pool, address, which) != NULL;
    case 2:
        return ffalloc_resize(pool, address, which);
    case 3:
        return ffalloc_release(pool, address);
    default:
        return ffalloc_usable_size(pool, address);
    }
}

bool twin_misuse(struct twin *twin, size_t off, unsigned which)
{
    const struct model_block *block = model_find(&twin->model, off / twin->granule);
    enum ffalloc_error expected = !block           ? FFALLOC_FOREIGN_POINTER
                                  : block->is_used ? FFALLOC_NOT_A_BLOCK
                                                   : FFALLOC_DOUBLE_FREE;
    if (block && block->is_used && off == block->start * twin->granule)
        return true;
    start_call(twin);
    size_t result = misuse(twin->pool, twin->blocks + off, which);
    if (call.told_count != 1 || call.told_kind != expected ||
        call.told_address != twin->blocks + off)
        return differs(twin, "misuse: told", off, call.told_kind, expected);
    return result == 0 || differs(twin, "misuse", off, result, 0);
}
