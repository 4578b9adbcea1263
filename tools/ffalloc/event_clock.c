/* SPDX-License-Identifier: MIT */
#include "event_clock.h"

#include <time.h>

void clock_find_rate(struct event_clock *clock, const struct ring *ring)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ticks = ring_ticks() - ring->start_ticks;
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - ring->start_ns;
    clock->us_per_tick = ticks ? (double)ns / (double)ticks / 1000 : 0.001;
}

uint32_t clock_step(struct event_clock *clock, const struct ring *ring, uint64_t ticks)
{
    uint64_t since = ticks > ring->start_ticks ? ticks - ring->start_ticks : 0;
    uint64_t now = (uint64_t)((double)since * clock->us_per_tick);
    uint64_t step = now > clock->microseconds ? now - clock->microseconds : 0;
    step = step < UINT32_MAX ? step : UINT32_MAX;
    clock->microseconds += step;
    return (uint32_t)step;
}
