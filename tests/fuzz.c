/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: the first bytes choose a pool, the rest are calls, compared with the naive
 * model one by one and checked every few. A crash or a trap is a finding.
 *
 *   build/tests/fuzz -max_total_time=600 corpus/
 */
#include <stdio.h>
#include <stdlib.h>

#include "twin.h"

#define SLOTS 60

struct input {
    const uint8_t *bytes;
    size_t left;
};

static unsigned take_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->bytes++;
}

/* A third small, a third about as large as a byte of the index counts, a third up to 71 KiB; and
 * some that no pool holds, of which the largest wrap as they are rounded up. */
static size_t take_size(const struct twin *twin, struct input *input)
{
    unsigned byte = take_byte(input);
    if (byte < 86)
        return byte * 4;
    if (byte < 171)
        return (size_t)(byte + 127) * twin->granule - (take_byte(input) & 1);
    if (byte < 250)
        return (size_t)(byte - 170) * take_byte(input) * 5;
    return (SIZE_MAX >> (byte - 250)) - take_byte(input);
}

/* Up to the largest with which a finding comes again; or one that no pool here has, but at its
 * start. */
static size_t take_alignment(struct input *input)
{
    unsigned log2 = take_byte(input) % 20;
    return log2 < 17 ? (size_t)1 << log2 : ((SIZE_MAX >> 1) + 1) >> (log2 - 17);
}

/* Of the pool in bytes: any, or for as many granules as fill nodes of the index, or so. */
static size_t take_pool_size(struct input *input, size_t granule)
{
    unsigned kind = take_byte(input);
    size_t number = take_byte(input);
    if (kind % 2)
        return 200 + (number << kind / 2 % 11);
    size_t granules = ((number % 32 + 1) << (6 + kind / 2 % 6)) + take_byte(input) % 5 - 2;
    return ffalloc_pool_size_for(granules, granule);
}

/* Half of the pools grow, some of which are now and then refused a step. */
static struct ffalloc_config take_config(struct input *input, uint8_t *refusals)
{
    unsigned kind = take_byte(input);
    struct ffalloc_config config = {.granule = (size_t)8 << kind % 3, .is_zeroed = kind / 3 % 2};
    *refusals = 0;
    if (!FFALLOC_GROWTH || kind < 128)
        return config;
    unsigned unit = take_byte(input);
    config.open_unit = (size_t)64 << unit % 8;
    config.blocks_alignment = unit / 8 % 2 ? 0 : (size_t)8 << unit / 16;
    config.open_step = (size_t)take_byte(input) << 8;
    *refusals = (uint8_t)take_byte(input);
    return config;
}

/* A byte of the pool, or some way beyond it: where a block starts, or starts nearly, or any. */
static size_t take_off(const struct twin *twin, struct input *input)
{
    const struct twin_slot *slot = &twin->slots[take_byte(input) % SLOTS];
    size_t off = slot->block ? (size_t)(slot->block - twin->blocks) : 0;
    unsigned more = take_byte(input);
    return off + (more & 128 ? (more & 127) : more * twin->granule * take_byte(input));
}

/* Calls that concern no slot. */
static bool do_look(struct twin *twin, struct input *input, unsigned kind)
{
    if (kind == 0)
        return twin_find(twin, take_off(twin, input));
    return kind < 3 ? twin_misuse(twin, take_off(twin, input), take_byte(input)) : twin_reset(twin);
}

/* Makes a block smaller and larger in turn. */
static bool do_turns(struct twin *twin, struct input *input, size_t slot)
{
    bool is_same = true;
    size_t small = take_size(twin, input);
    size_t large = take_size(twin, input);
    for (unsigned turn = take_byte(input) % 4 + 1; is_same && turn > 0; turn--)
        is_same = twin_realloc(twin, slot, small) && twin_realloc(twin, slot, large);
    return is_same;
}

static bool do_calloc(struct twin *twin, struct input *input, size_t slot)
{
    size_t size = take_size(twin, input);
    return twin_calloc(twin, slot, size / 16 + 1, size > SIZE_MAX / 16 ? size : 16);
}

static bool do_call(struct twin *twin, struct input *input)
{
    unsigned call = take_byte(input);
    size_t slot = call % 64;
    unsigned kind = call / 64;
    if (slot >= SLOTS)
        return do_look(twin, input, kind);
    if (!twin->slots[slot].block) {
        if (kind == 0)
            return twin_alloc(twin, slot, take_size(twin, input), take_alignment(input));
        return kind == 1 ? do_calloc(twin, input, slot)
                         : twin_alloc(twin, slot, take_size(twin, input), 0);
    }
    if (kind == 0 && slot % 8 == 0)
        return do_turns(twin, input, slot);
    if (kind == 0)
        return twin_realloc(twin, slot, take_size(twin, input));
    return kind == 1 ? twin_resize(twin, slot, take_size(twin, input)) : twin_free(twin, slot);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    struct twin twin;
    uint8_t refusals;
    struct ffalloc_config config = take_config(&input, &refusals);
    size_t pool_size = take_pool_size(&input, config.granule);
    if (!twin_init_with(&twin, pool_size, take_byte(&input) % 64, SLOTS, &config, refusals))
        return 0;
    bool is_same = true;
    for (unsigned call = 0; is_same && input.left > 0; call++)
        is_same = do_call(&twin, &input) && (call % 8 != 0 || twin_check(&twin));
    if (!is_same || !twin_check(&twin)) {
        fprintf(stderr, "pool of %zu bytes, granule %zu, unit %zu: %s\n", pool_size, config.granule,
                config.open_unit, twin.fault);
        model_print(&twin.model);
        abort();
    }
    twin_destroy(&twin);
    return 0;
}
