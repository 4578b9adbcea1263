/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void model_init(struct model *model, size_t granules, size_t bias)
{
    *model = (struct model){.bias = bias, .block_count = 1, .block_limit = 64};
    model->blocks = malloc(model->block_limit * sizeof *model->blocks);
    model->blocks[0] = (struct model_block){0, granules, false};
}

void model_destroy(struct model *model)
{
    free(model->blocks);
}

static void insert(struct model *model, size_t i, struct model_block block)
{
    if (model->block_count == model->block_limit) {
        model->block_limit *= 2;
        model->blocks = realloc(model->blocks, model->block_limit * sizeof *model->blocks);
    }
    struct model_block *at = model->blocks + i;
    memmove(at + 1, at, (model->block_count - i) * sizeof *at);
    *at = block;
    model->block_count++;
}

static void remove_block(struct model *model, size_t i)
{
    struct model_block *at = model->blocks + i;
    memmove(at, at + 1, (model->block_count - i - 1) * sizeof *at);
    model->block_count--;
}

/* By bisection: the one thing here that is not naive, as frees would dominate every test. */
static size_t index_of(const struct model *model, size_t start)
{
    size_t low = 0;
    size_t high = model->block_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (model->blocks[middle].start <= start)
            low = middle;
        else
            high = middle;
    }
    return low;
}

const struct model_block *model_find(const struct model *model, size_t granule)
{
    const struct model_block *block = &model->blocks[index_of(model, granule)];
    return granule < block->start + block->count ? block : NULL;
}

void model_extend(struct model *model, size_t granules)
{
    struct model_block *last = &model->blocks[model->block_count - 1];
    size_t end = last->start + last->count;
    if (granules == end)
        return;
    if (last->is_used)
        insert(model, model->block_count, (struct model_block){end, granules - end, false});
    else
        last->count += granules - end;
}

/* Notes that `count` more are used, up to `end`. */
static void note_used(struct model *model, size_t count, size_t end)
{
    model->used += count;
    if (model->used > model->peak_used)
        model->peak_used = model->used;
    if (end > model->high_water)
        model->high_water = end;
}

void model_reset_marks(struct model *model)
{
    model->peak_used = model->used;
    model->high_water = 0;
    for (size_t i = 0; i < model->block_count; i++)
        if (model->blocks[i].is_used)
            model->high_water = model->blocks[i].start + model->blocks[i].count;
}

static size_t aligned(const struct model *model, size_t granule, size_t alignment)
{
    while ((granule + model->bias) % alignment)
        granule += alignment - (granule + model->bias) % alignment;
    return granule;
}

static size_t take(struct model *model, size_t i, size_t at, size_t count)
{
    struct model_block hole = model->blocks[i];
    size_t end = hole.start + hole.count;
    model->blocks[i] = (struct model_block){at, count, true};
    if (at + count < end)
        insert(model, i + 1, (struct model_block){at + count, end - at - count, false});
    if (hole.start < at)
        insert(model, i, (struct model_block){hole.start, at - hole.start, false});
    note_used(model, count, at + count);
    return at;
}

size_t model_alloc(struct model *model, size_t count, size_t alignment)
{
    size_t groups = 0;
    size_t group = MODEL_NONE;
    for (size_t i = 0; i < model->block_count; i++) {
        struct model_block *block = &model->blocks[i];
        if (block->is_used || block->count < count)
            continue;
        if (block->start / 64 != group) {
            group = block->start / 64;
            groups++;
        }
        if (groups == 9) {
            for (size_t k = i; k < model->block_count; k++)
                if (!model->blocks[k].is_used && model->blocks[k].count >= count + alignment - 1)
                    return take(model, k, aligned(model, model->blocks[k].start, alignment), count);
            groups++;
        }
        size_t at = aligned(model, block->start, alignment);
        if (at + count <= block->start + block->count)
            return take(model, i, at, count);
    }
    return MODEL_NONE;
}

static void merge_with_next(struct model *model, size_t i)
{
    if (i + 1 < model->block_count && !model->blocks[i].is_used && !model->blocks[i + 1].is_used) {
        model->blocks[i].count += model->blocks[i + 1].count;
        remove_block(model, i + 1);
    }
}

void model_free(struct model *model, size_t start)
{
    size_t i = index_of(model, start);
    model->blocks[i].is_used = false;
    model->used -= model->blocks[i].count;
    merge_with_next(model, i);
    if (i > 0)
        merge_with_next(model, i - 1);
}

bool model_resize(struct model *model, size_t start, size_t count)
{
    size_t i = index_of(model, start);
    size_t before = model->blocks[i].count;
    bool has_hole = i + 1 < model->block_count && !model->blocks[i + 1].is_used;
    size_t room = before + (has_hole ? model->blocks[i + 1].count : 0);
    if (count > before && count > room)
        return false;
    if (count == before)
        return true;
    if (has_hole)
        remove_block(model, i + 1);
    else
        room = before;
    model->blocks[i].count = count;
    if (count < room)
        insert(model, i + 1, (struct model_block){start + count, room - count, false});
    model->used -= before;
    note_used(model, count, start + count);
    return true;
}

size_t model_move(struct model *model, size_t start, size_t count)
{
    size_t moved = model_alloc(model, count, 1);
    if (moved != MODEL_NONE)
        model_free(model, start);
    return moved;
}

size_t model_realloc(struct model *model, size_t start, size_t count)
{
    return model_resize(model, start, count) ? start : model_move(model, start, count);
}

void model_print(const struct model *model)
{
    for (size_t i = 0; i < model->block_count; i++)
        fprintf(stderr, "%c%zu ", model->blocks[i].is_used ? '#' : '.', model->blocks[i].count);
    fputc('\n', stderr);
}
