/* SPDX-License-Identifier: MIT */
/* Numbers for stacks: the same return addresses get the same number. */
#ifndef FFALLOC_TOOLS_STACKS_H
#define FFALLOC_TOOLS_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Distinct stacks of a process that are kept; a further one has number 0, not known. */
#define STACKS_LIMIT ((size_t)1 << 20)

struct stacks {
    uint64_t *frames; /* of all stacks, one after the other */
    size_t frames_count, frames_size;
    struct stack_entry {
        uint32_t number; /* 0: empty */
        uint32_t count;
        size_t first; /* in `frames` */
        uint64_t hash;
    } * entries;        /* a hash table, open, at most half full */
    size_t entry_count; /* a power of two */
    uint32_t stack_count;
};

/* The number of these frames, from 1; `is_new` if they were not seen before. */
uint32_t stacks_number(struct stacks *stacks, const uint64_t *frames, size_t count, bool *is_new);

void stacks_free(struct stacks *stacks);

#endif
