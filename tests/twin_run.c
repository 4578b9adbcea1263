/* SPDX-License-Identifier: MIT */
#include "twin.h"

uint64_t twin_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1du >> 32 | *state << 32;
}

/* How the sizes of one run are drawn. */
struct style {
    size_t largest_log2; /* sizes are below 2^largest_log2 bytes... */
    unsigned large_in;   /* ...but one in so many is below a quarter of the pool */
    unsigned edge_in;    /* ...and one in so many is about as large as a byte of the index counts */
    unsigned aligned_in; /* one in so many requests is aligned... */
    unsigned alignments; /* ...to one of the so many lowest powers of two */
    unsigned realloc_in; /* one in so many calls is a realloc of a live block */
    unsigned fill;       /* percent of calls on an empty slot that allocate */
};

static struct style style_of(uint64_t *state)
{
    static const unsigned rarities[] = {2, 5, 20, 1000000};
    return (struct style){
        .largest_log2 = 3 + twin_random(state) % 12,
        .large_in = rarities[1 + twin_random(state) % 3],
        .edge_in = rarities[twin_random(state) % 4],
        .aligned_in = rarities[twin_random(state) % 4],
        .alignments = 13 + (unsigned)(twin_random(state) % 5),
        .realloc_in = rarities[twin_random(state) % 4],
        .fill = 50 + (unsigned)(twin_random(state) % 51),
    };
}

static size_t draw_size(struct twin *twin, const struct style *style, uint64_t *state)
{
    if (twin_random(state) % style->large_in == 0) {
        struct ffalloc_stats stats;
        ffalloc_stats(twin->pool, &stats);
        return twin_random(state) % (stats.usable_size / 4 + 1);
    }
    if (twin_random(state) % style->edge_in == 0)
        return (235 + twin_random(state) % 40) * twin->granule - twin_random(state) % 2;
    return twin_random(state) % ((size_t)1 << (1 + twin_random(state) % style->largest_log2));
}

static bool random_call(struct twin *twin, const struct style *style, uint64_t *state)
{
    size_t slot = twin_random(state) % twin->slot_count;
    if (twin->slots[slot].block) {
        if (twin_random(state) % style->realloc_in != 0)
            return twin_free(twin, slot);
        size_t size = draw_size(twin, style, state);
        return twin_random(state) % 4 ? twin_realloc(twin, slot, size)
                                      : twin_resize(twin, slot, size);
    }
    if (twin_random(state) % 100 >= style->fill)
        return true;
    size_t size = draw_size(twin, style, state);
    if (twin_random(state) % style->aligned_in == 0)
        return twin_alloc(twin, slot, size, (size_t)1 << (twin_random(state) % style->alignments));
    return twin_random(state) % 8 ? twin_alloc(twin, slot, size, 0)
                                  : twin_calloc(twin, slot, 1, size);
}

bool twin_run(struct twin *twin, uint64_t seed, size_t calls, size_t check_every)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    struct style style = style_of(&state);
    for (size_t call = 0; call < calls; call++) {
        if (call % 5000 == 4999)
            style = style_of(&state);
        if (!random_call(twin, &style, &state))
            return false;
        if (call % check_every == 0 && !twin_check(twin))
            return false;
    }
    return twin_check(twin);
}
