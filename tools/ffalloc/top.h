/* SPDX-License-Identifier: MIT */
/* The heap of a recorded process as it is now, and how it is shown. */
#ifndef FFALLOC_TOOLS_TOP_H
#define FFALLOC_TOOLS_TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "maps.h"
#include "replay.h"
#include "symbols.h"

struct top {
    pid_t process;
    bool is_json;
    bool is_screen; /* else lines, one after the other */
    struct trace *trace;
    struct replay replay;
    bool has_replay;
    uint32_t *site_by_id;
    size_t id_size;
    struct top_site {
        uint32_t stack;
        uint64_t bytes, count;
    } * sites; /* by stack */
    size_t site_size;
    uint64_t shown_count; /* of events, when last shown */
    struct maps maps;
    size_t maps_length;
    struct symbols *symbols;
};

/* Makes the call of an event. */
void top_take(struct top *top, const struct trace_event *event);

/* Shows all as it is now. */
void top_show(struct top *top);

/* Begins with another trace. */
void top_forget(struct top *top);

#endif
