/* SPDX-License-Identifier: MIT */
/* What a pool of another machine offers. Nothing here is needed on a device. */
#include "choices.h"
#include "layout.h"
#include "memory.h"

#if !FFALLOC_SMALL

/* The sizes of struct ffalloc_pool; each is checked where that machine's core is compiled. */
#define HEADER_SIZE_32 96u
#define HEADER_SIZE_64 168u

_Static_assert(sizeof(struct ffalloc_pool) == (WORD_LOG2 == 6 ? HEADER_SIZE_64 : HEADER_SIZE_32),
               "the header of a pool has another size than other machines think");

/* 32 bits: Cortex-M, RV32, i386. 64 bits: this one if it has them, else x86-64. */
static bool is_known(unsigned word_bits, struct machine *machine)
{
    if (word_bits == 32)
        *machine = (struct machine){5, 3, HEADER_SIZE_32};
    else
        *machine = (struct machine){6, WORD_LOG2 == 6 ? FANOUT_LOG2 : 4, HEADER_SIZE_64};
    return word_bits == 32 || word_bits == 64;
}

size_t ffalloc_target_pool_size_for(unsigned word_bits, size_t granules, size_t granule)
{
    struct machine machine;
    if (!is_known(word_bits, &machine))
        return 0;
    size_t size = layout_pool_size_for(machine, granules, granule);
    return word_bits == 32 && size > UINT32_MAX ? 0 : size;
}

size_t ffalloc_target_granules(unsigned word_bits, size_t size, size_t granule)
{
    struct machine machine;
    unsigned log2 = is_known(word_bits, &machine) ? layout_granule_log2(machine, granule) : 0;
    return log2 ? layout_most_granules(machine, 0, size, log2) : 0;
}

#endif
