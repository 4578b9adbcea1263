/* SPDX-License-Identifier: MIT */
#include "extent.h"

#include <stdlib.h>

#include "command.h"

static uint64_t end_of(const struct replay *replay, uint32_t id)
{
    return replay_offset(replay, id) + replay_rounded(replay->live[id].size, replay->granule);
}

void extent_note(struct extent *extent, const struct replay *replay, uint32_t id)
{
    struct end end = {end_of(replay, id), id};
    extent->ends = grow(extent->ends, &extent->size, extent->count + 1, sizeof *extent->ends);
    size_t at = extent->count++;
    for (; at > 0 && extent->ends[(at - 1) / 2].offset < end.offset; at = (at - 1) / 2)
        extent->ends[at] = extent->ends[(at - 1) / 2];
    extent->ends[at] = end;
}

static void drop_highest(struct extent *extent)
{
    struct end last = extent->ends[--extent->count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < extent->count) {
        if (child + 1 < extent->count &&
            extent->ends[child + 1].offset > extent->ends[child].offset)
            child++;
        if (extent->ends[child].offset <= last.offset)
            break;
        extent->ends[at] = extent->ends[child];
        at = child;
    }
    extent->ends[at] = last;
}

uint64_t extent_now(struct extent *extent, const struct replay *replay)
{
    while (extent->count > 0) {
        const struct end *highest = &extent->ends[0];
        if (replay->live[highest->id].address && end_of(replay, highest->id) == highest->offset)
            return highest->offset;
        drop_highest(extent);
    }
    return 0;
}

void extent_free(struct extent *extent)
{
    free(extent->ends);
    *extent = (struct extent){0};
}
