/* SPDX-License-Identifier: MIT */
/* The time of events, which a ring counts in the processor's ticks. */
#ifndef FFALLOC_TOOLS_EVENT_CLOCK_H
#define FFALLOC_TOOLS_EVENT_CLOCK_H

#include <stdint.h>

#include "ring.h"

struct event_clock {
    double us_per_tick;    /* 0: not yet known */
    uint64_t microseconds; /* from the start of the process to the last event */
};

/* From now and the start of the process. */
void clock_find_rate(struct event_clock *clock, const struct ring *ring);

/* Microseconds from the event before to the next, at `ticks`. */
uint32_t clock_step(struct event_clock *clock, const struct ring *ring, uint64_t ticks);

#endif
