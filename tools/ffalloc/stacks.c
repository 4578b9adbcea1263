/* SPDX-License-Identifier: MIT */
#include "stacks.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "hash.h"

static void rehash(struct stacks *stacks)
{
    size_t before_count = stacks->entry_count;
    struct stack_entry *before = stacks->entries;
    stacks->entry_count = before_count ? before_count * 2 : 1024;
    stacks->entries = allocate(stacks->entry_count * sizeof *stacks->entries);
    for (size_t i = 0; i < before_count; i++) {
        if (before[i].number == 0)
            continue;
        size_t at = before[i].hash & (stacks->entry_count - 1);
        while (stacks->entries[at].number != 0)
            at = (at + 1) & (stacks->entry_count - 1);
        stacks->entries[at] = before[i];
    }
    free(before);
}

static bool is_same(const uint64_t *a, const uint64_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

uint32_t stacks_number(struct stacks *stacks, const uint64_t *frames, size_t count, bool *is_new)
{
    *is_new = false;
    if (stacks->stack_count * 2 >= stacks->entry_count)
        rehash(stacks);
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < count; i++)
        hash = hash_add(hash, frames[i]);
    hash ^= hash >> 32; /* its low bits depend on the frames' low bits alone */
    size_t at = hash & (stacks->entry_count - 1);
    struct stack_entry *entry;
    for (; (entry = &stacks->entries[at])->number != 0; at = (at + 1) & (stacks->entry_count - 1))
        if (entry->hash == hash && entry->count == count &&
            is_same(stacks->frames + entry->first, frames, count))
            return entry->number;
    if (stacks->stack_count >= STACKS_LIMIT)
        return 0;
    stacks->frames = grow(stacks->frames, &stacks->frames_size, stacks->frames_count + count,
                          sizeof *stacks->frames);
    memcpy(stacks->frames + stacks->frames_count, frames, count * sizeof *frames);
    *entry =
        (struct stack_entry){++stacks->stack_count, (uint32_t)count, stacks->frames_count, hash};
    stacks->frames_count += count;
    *is_new = true;
    return entry->number;
}

void stacks_free(struct stacks *stacks)
{
    free(stacks->frames);
    free(stacks->entries);
    *stacks = (struct stacks){0};
}
