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

/* Mostly small, now and then up to 64 KiB. */
static size_t take_size(struct input *input)
{
    unsigned byte = take_byte(input);
    return byte < 200 ? byte * 4 : (size_t)(byte - 199) * take_byte(input) * 5;
}

static bool do_call(struct twin *twin, struct input *input)
{
    unsigned call = take_byte(input);
    size_t slot = call % SLOTS;
    unsigned kind = call / SLOTS;
    if (!twin->slots[slot].block) {
        if (kind == 0)
            return twin_alloc(twin, slot, take_size(input), (size_t)1 << take_byte(input) % 13);
        return kind == 1 ? twin_calloc(twin, slot, take_size(input))
                         : twin_alloc(twin, slot, take_size(input), 0);
    }
    if (kind == 0)
        return twin_realloc(twin, slot, take_size(input));
    return kind == 1 ? twin_resize(twin, slot, take_size(input)) : twin_free(twin, slot);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    struct twin twin;
    size_t granule = (size_t)8 << take_byte(&input) % 3;
    size_t pool_size = 200 + ((size_t)take_byte(&input) << take_byte(&input) % 11);
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
