/* SPDX-License-Identifier: MIT */
/*
 * Where blocks lie as a trace begins in the middle of a process, or goes on after a pause: as calls
 * that place them there. What fills the holes between is asked for with them, by nobody, and freed
 * once all lie in their place. Blocks of a process's first pool so lie where they were; those of
 * others follow without the holes.
 */
#ifndef FFALLOC_TOOLS_LAYOUT_H
#define FFALLOC_TOOLS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct recorder;

/* A block of the trace, by its id. */
struct lived {
    uint64_t address; /* 0: not live */
    uint64_t size;    /* bytes asked for */
    uint32_t site;
    bool is_found; /* while blocks are told */
};

struct layout {
    struct lived *by_id;
    size_t id_size;
    struct placed {
        uint64_t address, size;
        uint32_t site;
        bool is_elsewhere; /* in another than the first pool */
        bool is_known;
    } * told; /* by the process: RING_LIVE */
    size_t told_size, told_count;
};

/* The block of this id lies there; at 0 it is gone. */
void layout_note(struct layout *layout, uint32_t id, uint64_t address, uint64_t size,
                 uint32_t site);

/* The process tells of a block, and that it has told of all. */
void layout_tell(struct recorder *recorder, uint64_t address, uint64_t size);
void layout_settle(struct recorder *recorder);

/* Begins a new trace with what lives in the one before. */
void layout_carry_over(struct recorder *recorder);

void layout_free(struct layout *layout);

#endif
