/* SPDX-License-Identifier: MIT */
/* What a pool of another machine offers. Nothing here is needed on a device. */
#include "choices.h"
#include "layout.h"
#include "memory.h"

/* The size of struct ffalloc_pool on a machine; checked where that one's core is compiled. */
#define HEADER_SIZE(word_log2, is_small)                                                           \
    ((word_log2) == 6 ? ((is_small) ? 104u : 176u) : ((is_small) ? 56u : 60u))

_Static_assert(sizeof(struct ffalloc_pool) == HEADER_SIZE(WORD_LOG2, FFALLOC_SMALL),
               "the header of a pool has another size than other machines think");

#if !FFALLOC_SMALL

static bool is_known(unsigned target, struct machine *machine)
{
    unsigned word_bits = target & ~FFALLOC_TARGET_SMALL;
    machine->is_small = target & FFALLOC_TARGET_SMALL;
    machine->word_log2 = word_bits == 32 ? 5 : 6;
    machine->header_size = HEADER_SIZE(machine->word_log2, machine->is_small);
    machine->most_granules = LAYOUT_MOST_GRANULES(machine->word_log2, machine->is_small);
    return word_bits == 32 || word_bits == 64;
}

size_t ffalloc_target_pool_size_for(unsigned target, size_t granules, size_t granule)
{
    struct machine machine;
    if (!is_known(target, &machine))
        return 0;
    size_t size = layout_pool_size_for(machine, granules, granule);
    return machine.word_log2 == 5 && size > UINT32_MAX ? 0 : size;
}

size_t ffalloc_target_granules(unsigned target, size_t size, size_t granule)
{
    struct machine machine;
    unsigned log2 = is_known(target, &machine) ? layout_granule_log2(machine, granule) : 0;
    return log2 ? layout_most_granules(machine, 0, size, log2) : 0;
}

#endif
