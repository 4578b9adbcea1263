/* SPDX-License-Identifier: MIT */
/* What is told of a sampled block. */
#ifndef FFALLOC_PRELOAD_SAMPLE_FAULT_H
#define FFALLOC_PRELOAD_SAMPLE_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Return addresses, innermost first. */
#define STACK_MOST 16u
struct stack {
    unsigned count;
    uintptr_t sites[STACK_MOST];
};

struct slot {
    unsigned char *block; /* NULL: it never had one */
    size_t size;          /* bytes that were asked for; 1 for none */
    bool is_live;
    bool is_damaged;    /* of a copy: beside the block is something */
    unsigned char byte; /* and this is it */
    struct stack asked;
    struct stack freed;
};

/* The slot that an address in the slots is nearest to. */
struct slot *sample_slot_of(const void *address);

/* A call was given an address that is no live block. */
void sample_tell_wrong(const struct slot *slot, const unsigned char *address);

/* A block was freed, and beside it a byte was overwritten. */
void sample_tell_damage(const struct slot *slot, const unsigned char *where);

#endif
