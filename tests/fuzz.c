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

#define SLOTS 64

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

/* A third small, a third about as large as a byte of the index counts, a third up to 71 KiB. */
static size_t take_size(const struct twin *twin, struct input *input)
{
    unsigned byte = take_byte(input);
    if (byte < 86)
        return byte * 4;
    if (byte < 171)
        return (size_t)(byte + 127) * twin->granule - (take_byte(input) & 1);
    return (size_t)(byte - 170) * take_byte(input) * 5;
}

/* Up to the largest with which a finding comes again. */
static size_t take_alignment(struct input *input)
{
    size_t alignment = (size_t)1 << take_byte(input) % 17;
    return alignment < TWIN_ALIGNMENT ? alignment : TWIN_ALIGNMENT;
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

static bool do_call(struct twin *twin, struct input *input)
{
    unsigned call = take_byte(input);
    size_t slot = call % SLOTS;
    unsigned kind = call / SLOTS;
    if (!twin->slots[slot].block) {
        if (kind == 0)
            return twin_alloc(twin, slot, take_size(twin, input), take_alignment(input));
        return kind == 1 ? twin_calloc(twin, slot, take_size(twin, input))
                         : twin_alloc(twin, slot, take_size(twin, input), 0);
    }
    if (kind == 0)
        return twin_realloc(twin, slot, take_size(twin, input));
    return kind == 1 ? twin_resize(twin, slot, take_size(twin, input)) : twin_free(twin, slot);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    struct twin twin;
    size_t granule = (size_t)8 << take_byte(&input) % 3;
    size_t pool_size = take_pool_size(&input, granule);
    if (!twin_init(&twin, pool_size, granule, take_byte(&input) % 64, SLOTS))
        return 0;
    bool is_same = true;
    for (unsigned call = 0; is_same && input.left > 0; call++)
        is_same = do_call(&twin, &input) && (call % 8 != 0 || twin_check(&twin));
    if (!is_same || !twin_check(&twin)) {
        fprintf(stderr, "pool of %zu bytes, granule %zu: %s\n", pool_size, granule, twin.fault);
        model_print(&twin.model);
        abort();
    }
    twin_destroy(&twin);
    return 0;
}
