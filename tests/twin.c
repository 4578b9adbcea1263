/* SPDX-License-Identifier: MIT */
#include "twin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool differs(struct twin *twin, const char *what, size_t size, size_t core, size_t model)
{
    snprintf(twin->fault, sizeof twin->fault, "%s(%zu): core %zd, model %zd (granules)", what, size,
             (ptrdiff_t)core, (ptrdiff_t)model);
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

static bool first_block(void *context, const struct ffalloc_block *block)
{
    *(unsigned char **)context = block->address;
    return false;
}

bool twin_init(struct twin *twin, size_t size, size_t granule, size_t misalignment,
               size_t slot_count)
{
    *twin = (struct twin){.granule = granule, .slot_count = slot_count};
    size_t whole = (size + misalignment + TWIN_ALIGNMENT - 1) / TWIN_ALIGNMENT * TWIN_ALIGNMENT;
    twin->memory = aligned_alloc(TWIN_ALIGNMENT, whole);
    memset(twin->memory, 0xa5, size + misalignment);
    struct ffalloc_config config = {.granule = granule};
    twin->pool = ffalloc_init_with(twin->memory + misalignment, size, &config);
    if (!twin->pool) {
        free(twin->memory);
        return false;
    }
    struct ffalloc_stats stats;
    ffalloc_stats(twin->pool, &stats);
    ffalloc_walk(twin->pool, first_block, &twin->blocks);
    model_init(&twin->model, stats.usable_size / granule, (uintptr_t)twin->blocks / granule);
    twin->slots = calloc(slot_count, sizeof *twin->slots);
    return true;
}

void twin_destroy(struct twin *twin)
{
    model_destroy(&twin->model);
    free(twin->slots);
    free(twin->memory);
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
    unsigned char *block = alignment ? ffalloc_aligned_alloc(twin->pool, alignment, size)
                                     : ffalloc_malloc(twin->pool, size);
    size_t alignment_granules = alignment > twin->granule ? alignment / twin->granule : 1;
    size_t expected = model_alloc(&twin->model, granules_of(twin, size), alignment_granules);
    if (granule_at(twin, block) != expected)
        return differs(twin, "alloc", size, granule_at(twin, block), expected);
    if (alignment && block && (uintptr_t)block % alignment)
        return differs(twin, "misaligned", size, granule_at(twin, block), expected);
    if (block)
        settle(twin, slot, block, size);
    return true;
}

bool twin_calloc(struct twin *twin, size_t slot, size_t size)
{
    unsigned char *block = ffalloc_calloc(twin->pool, 1, size);
    size_t expected = model_alloc(&twin->model, granules_of(twin, size), 1);
    if (granule_at(twin, block) != expected)
        return differs(twin, "calloc", size, granule_at(twin, block), expected);
    if (!block)
        return true;
    for (size_t i = 0; i < size; i++)
        if (block[i])
            return differs(twin, "calloc: not zero", size, i, 0);
    settle(twin, slot, block, size);
    return true;
}

bool twin_realloc(struct twin *twin, size_t slot, size_t size)
{
    struct twin_slot *old = &twin->slots[slot];
    size_t start = granule_at(twin, old->block);
    size_t expected = model_realloc(&twin->model, start, granules_of(twin, size));
    unsigned char *block = ffalloc_realloc(twin->pool, old->block, size);
    if (granule_at(twin, block) != expected)
        return differs(twin, "realloc", size, granule_at(twin, block), expected);
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
    bool expected = model_resize(&twin->model, start, granules_of(twin, size));
    if (ffalloc_resize(twin->pool, old->block, size) != expected)
        return differs(twin, "resize", size, !expected, expected);
    if (expected)
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
    if (ffalloc_usable_size(twin->pool, old->block) != expected)
        return differs(twin, "usable_size", old->size, start, expected);
    if (ffalloc_release(twin->pool, old->block) != expected)
        return differs(twin, "release", old->size, start, expected);
    model_free(&twin->model, start);
    old->block = NULL;
    return true;
}

bool twin_check(struct twin *twin)
{
    struct ffalloc_fault fault;
    if (!ffalloc_check(twin->pool, &fault)) {
        snprintf(twin->fault, sizeof twin->fault, "check: %s at offset %zu", fault.rule,
                 fault.offset);
        return false;
    }
    struct ffalloc_stats stats;
    ffalloc_stats(twin->pool, &stats);
    size_t holes = 0, used = 0, largest = 0, smallest = 0;
    for (size_t i = 0; i < twin->model.block_count; i++) {
        const struct model_block *block = &twin->model.blocks[i];
        used += block->is_used ? block->count : 0;
        if (block->is_used)
            continue;
        smallest = holes++ == 0 || block->count < smallest ? block->count : smallest;
        largest = block->count > largest ? block->count : largest;
    }
    if (stats.hole_count != holes || stats.used_size != used * twin->granule ||
        stats.block_count != twin->model.block_count - holes ||
        stats.largest_hole_size != largest * twin->granule ||
        stats.smallest_hole_size != smallest * twin->granule)
        return differs(twin, "stats: holes", 0, stats.hole_count, holes);
    if (stats.high_water_size != twin->model.high_water * twin->granule)
        return differs(twin, "high water", 0, stats.high_water_size / twin->granule,
                       twin->model.high_water);
    return true;
}

uint64_t twin_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du >> 32 | *state << 32;
}

/* How the sizes of one run are drawn. */
struct style {
    size_t largest_log2; /* sizes are below 2^largest_log2 bytes... */
    unsigned large_in;   /* ...but one in so many is below a quarter of the pool */
    unsigned edge_in;    /* ...and one in so many is about as large as a byte of the index counts */
    unsigned aligned_in; /* one in so many requests is aligned... */
    unsigned alignments; /* ...to one of the so many lowest powers of two */
    unsigned realloc_in; /* one in so many calls is a realloc of a live block */
    unsigned fill;       /* percent of calls on an empty slot that allocate */
};

static struct style style_of(uint64_t *state)
{
    static const unsigned rarities[] = {2, 5, 20, 1000000};
    return (struct style){
        .largest_log2 = 3 + twin_random(state) % 12,
        .large_in = rarities[1 + twin_random(state) % 3],
        .edge_in = rarities[twin_random(state) % 4],
        .aligned_in = rarities[twin_random(state) % 4],
        .alignments = 13 + (unsigned)(twin_random(state) % 5),
        .realloc_in = rarities[twin_random(state) % 4],
        .fill = 50 + (unsigned)(twin_random(state) % 51),
    };
}

static size_t draw_size(struct twin *twin, const struct style *style, uint64_t *state)
{
    if (twin_random(state) % style->large_in == 0) {
        struct ffalloc_stats stats;
        ffalloc_stats(twin->pool, &stats);
        return twin_random(state) % (stats.usable_size / 4 + 1);
    }
    if (twin_random(state) % style->edge_in == 0)
        return (235 + twin_random(state) % 40) * twin->granule - twin_random(state) % 2;
    return twin_random(state) % ((size_t)1 << (1 + twin_random(state) % style->largest_log2));
}

static bool random_call(struct twin *twin, const struct style *style, uint64_t *state)
{
    size_t slot = twin_random(state) % twin->slot_count;
    if (twin->slots[slot].block) {
        if (twin_random(state) % style->realloc_in != 0)
            return twin_free(twin, slot);
        size_t size = draw_size(twin, style, state);
        return twin_random(state) % 4 ? twin_realloc(twin, slot, size)
                                      : twin_resize(twin, slot, size);
    }
    if (twin_random(state) % 100 >= style->fill)
        return true;
    size_t size = draw_size(twin, style, state);
    if (twin_random(state) % style->aligned_in == 0)
        return twin_alloc(twin, slot, size, (size_t)1 << (twin_random(state) % style->alignments));
    return twin_random(state) % 8 ? twin_alloc(twin, slot, size, 0) : twin_calloc(twin, slot, size);
}

bool twin_run(struct twin *twin, uint64_t seed, size_t calls, size_t check_every)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    struct style style = style_of(&state);
    for (size_t call = 0; call < calls; call++) {
        if (call % 5000 == 4999)
            style = style_of(&state);
        if (!random_call(twin, &style, &state))
            return false;
        if (call % check_every == 0 && !twin_check(twin))
            return false;
    }
    return twin_check(twin);
}
