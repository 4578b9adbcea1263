/* SPDX-License-Identifier: MIT */
#include "groups.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"

static bool belongs(const struct life *life, uint32_t block, enum group_by by, uint64_t value)
{
    if (by == BY_SIZE)
        return life->blocks[block].largest == value;
    return by == BY_SITE && life_birth(life, block)->site == value;
}

static struct group *add_group(struct groups *groups, enum group_by by, uint64_t value)
{
    groups->all = grow(groups->all, &groups->size, groups->count + 1, sizeof(struct group *));
    struct group *group = allocate(sizeof *group);
    *group = (struct group){.by = by, .value = value};
    groups->all[groups->count++] = group;
    return group;
}

static struct group *find_group(const struct groups *groups, enum group_by by, uint64_t value)
{
    for (size_t i = 0; i < groups->count; i++)
        if (groups->all[i]->by == by && groups->all[i]->value == value)
            return groups->all[i];
    return NULL;
}

struct group *group_of_all(struct groups *groups, const struct life *life, enum group_by by,
                           uint64_t value)
{
    struct group *group = find_group(groups, by, value);
    if (group)
        return group;
    group = add_group(groups, by, value);
    size_t size = 0;
    for (uint32_t block = 0; block < life->block_count; block++) {
        if (!belongs(life, block, by, value))
            continue;
        group->blocks = grow(group->blocks, &size, (size_t)group->count + 1, sizeof *group->blocks);
        group->blocks[group->count++] = block;
    }
    return group;
}

struct group *group_of(struct groups *groups, const uint32_t *blocks, uint32_t count)
{
    enum group_by by = count == 1 ? BY_BLOCK : BY_RUN;
    struct group *group = find_group(groups, by, blocks[0]);
    if (group && group->count == count)
        return group;
    group = add_group(groups, by, blocks[0]);
    group->count = count;
    group->blocks = allocate(count * sizeof *blocks);
    memcpy(group->blocks, blocks, count * sizeof *blocks);
    return group;
}

void groups_free(struct groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        free(groups->all[i]->blocks);
        free(groups->all[i]);
    }
    free(groups->all);
}

static int compare_values(const void *a, const void *b)
{
    uint64_t x = ((const struct holder *)a)->value, y = ((const struct holder *)b)->value;
    return (x > y) - (x < y);
}

static int compare_bytes(const void *a, const void *b)
{
    uint64_t x = ((const struct holder *)a)->bytes, y = ((const struct holder *)b)->bytes;
    return x != y ? (x < y) - (x > y) : compare_values(a, b);
}

struct holder *holders_take(const struct life *life, const struct mark *mark, enum group_by by,
                            uint32_t *count)
{
    struct holder *holders = allocate(mark->count * sizeof *holders);
    for (uint32_t i = 0; i < mark->count; i++) {
        const struct block *block = &life->blocks[mark->blocks[i]];
        uint64_t size = block->largest;
        uint64_t value = by == BY_SIZE ? size : life_birth(life, mark->blocks[i])->site;
        holders[i] = (struct holder){value, size, block->death ? 0 : size, 1};
    }
    qsort(holders, mark->count, sizeof *holders, compare_values);
    *count = 0;
    for (uint32_t i = 0; i < mark->count; i++) {
        struct holder *last = *count ? &holders[*count - 1] : NULL;
        if (!last || last->value != holders[i].value) {
            holders[(*count)++] = holders[i];
            continue;
        }
        last->bytes += holders[i].bytes;
        last->forever += holders[i].forever;
        last->count++;
    }
    qsort(holders, *count, sizeof *holders, compare_bytes);
    return holders;
}
