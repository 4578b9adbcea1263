/* SPDX-License-Identifier: MIT */
/* What recorder.c and recorder_events.c share. */
#ifndef FFALLOC_TOOLS_RECORDER_STATE_H
#define FFALLOC_TOOLS_RECORDER_STATE_H

#include <time.h>

#include "block_ids.h"
#include "event_clock.h"
#include "layout.h"
#include "maps.h"
#include "recorder.h"
#include "stacks.h"
#include "trace.h"

struct recorder {
    struct ring *ring;
    const uint64_t *words;
    uint64_t tail;
    char *trace_path;
    char **command;
    struct trace_writer *writer;
    struct stacks stacks;
    struct maps maps;
    struct block_ids ids;
    struct layout layout;
    struct event_clock clock;
    struct trace_totals totals;
    uint64_t flushed_count; /* events that are in the file */
    time_t flushed_at;
};

/* The words of the ring that follow its tail, of which the reader has made sure. */
static inline uint64_t recorder_word(const struct recorder *recorder, uint64_t index)
{
    return recorder->words[index & (RING_WORDS - 1)];
}

/* What lies at an address is freed, if anything does, without a call that was seen. */
void recorder_write_lost_free(struct recorder *recorder, uint64_t address);

/* A block is placed there without a call that was seen. */
void recorder_write_placed(struct recorder *recorder, uint16_t thread, uint64_t address,
                           uint64_t size, uint32_t site);

/* Writes the event at the ring's tail, which has so many extra words. */
void recorder_take(struct recorder *recorder, unsigned extra_count);

#endif
