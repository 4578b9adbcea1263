/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <stdlib.h>

#include "command.h"
#include "recorder_state.h"
#include "replay.h"

void layout_note(struct layout *layout, uint32_t id, uint64_t address, uint64_t size, uint32_t site)
{
    layout->by_id = grow(layout->by_id, &layout->id_size, (size_t)id + 1, sizeof *layout->by_id);
    layout->by_id[id] = (struct lived){.address = address, .size = size, .site = site};
}

static void add_placed(struct recorder *recorder, struct placed placed)
{
    struct layout *layout = &recorder->layout;
    const struct ring *ring = recorder->ring;
    placed.is_elsewhere = placed.address - ring->blocks >= ring->blocks_size;
    layout->told =
        grow(layout->told, &layout->told_size, layout->told_count + 1, sizeof *layout->told);
    layout->told[layout->told_count++] = placed;
}

/* Those of the first pool come first, and each pool's by address. */
static int compare_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->is_elsewhere != y->is_elsewhere)
        return x->is_elsewhere - y->is_elsewhere;
    return (x->address > y->address) - (x->address < y->address);
}

static void write_layout(struct recorder *recorder)
{
    struct layout *layout = &recorder->layout;
    const struct ring *ring = recorder->ring;
    uint64_t *holes = NULL;
    size_t hole_size = 0, hole_count = 0;
    uint64_t end = ring->blocks;
    qsort(layout->told, layout->told_count, sizeof *layout->told, compare_placed);
    for (size_t i = 0; i < layout->told_count; i++) {
        const struct placed *placed = &layout->told[i];
        if (!placed->is_elsewhere && placed->address > end) {
            holes = grow(holes, &hole_size, hole_count + 1, sizeof *holes);
            holes[hole_count++] = end;
            recorder_write_placed(recorder, TRACE_NOBODY, end, placed->address - end, 0);
        }
        if (!placed->is_known)
            recorder_write_placed(recorder, 0, placed->address, placed->size, placed->site);
        end = placed->address + replay_rounded(placed->size, ring->granule);
    }
    for (size_t i = 0; i < hole_count; i++)
        recorder_write_lost_free(recorder, holes[i]);
    free(holes);
    layout->told_count = 0;
}

void layout_tell(struct recorder *recorder, uint64_t address, uint64_t size)
{
    struct layout *layout = &recorder->layout;
    uint32_t id = ids_at(&recorder->ids, address);
    bool is_known = id != TRACE_NO_ID && id < layout->id_size &&
                    replay_rounded(layout->by_id[id].size, recorder->ring->granule) == size;
    if (is_known)
        layout->by_id[id].is_found = true;
    add_placed(recorder, (struct placed){address, size, .is_known = is_known});
}

void layout_settle(struct recorder *recorder)
{
    struct layout *layout = &recorder->layout;
    for (uint32_t id = 0; id < layout->id_size; id++) {
        struct lived *lived = &layout->by_id[id];
        if (lived->address && !lived->is_found)
            recorder_write_lost_free(recorder, lived->address);
        lived->is_found = false;
    }
    write_layout(recorder);
}

void layout_carry_over(struct recorder *recorder)
{
    struct layout *layout = &recorder->layout;
    for (uint32_t id = 0; id < layout->id_size; id++) {
        struct lived *lived = &layout->by_id[id];
        if (!lived->address)
            continue;
        ids_forget(&recorder->ids, lived->address);
        add_placed(recorder, (struct placed){lived->address, lived->size, .site = lived->site});
        lived->address = 0;
    }
    ids_restart(&recorder->ids);
    write_layout(recorder);
}

void layout_free(struct layout *layout)
{
    free(layout->by_id);
    free(layout->told);
    *layout = (struct layout){0};
}
