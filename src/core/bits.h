/* SPDX-License-Identifier: MIT */
/* The machine word, size_t, and where in one the lowest and the highest bit are. */
#ifndef FFALLOC_CORE_BITS_H
#define FFALLOC_CORE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

#if SIZE_MAX < 0xffffffff
#error "ffalloc needs pointers of 32 or 64 bits, not of 16 as AVR and MSP430 have them"
#elif SIZE_MAX > 0xffffffff
#define WORD_LOG2 6
#else
#define WORD_LOG2 5
#endif
#define WORD_BITS ((size_t)1 << WORD_LOG2)

/* A word is not 0 in any of these, but where something has overwritten metadata: then a place is
 * WORD_BITS or below, or with gcc what the processor makes of it. */

#if HAS_BIT_BUILTINS && WORD_LOG2 == 6
#define ZEROS_BELOW(word) ((unsigned)__builtin_ctzll(word))
#define ZEROS_ABOVE(word) ((unsigned)__builtin_clzll(word))
#elif HAS_BIT_BUILTINS
#define ZEROS_BELOW(word) ((unsigned)__builtin_ctzl(word))
#define ZEROS_ABOVE(word) ((unsigned)__builtin_clzl(word))
#endif

#if HAS_BIT_BUILTINS

static inline size_t lowest_bit(size_t word)
{
    return OF_ZERO(word) ? WORD_BITS : ZEROS_BELOW(word);
}

static inline size_t leading_zeros(size_t word)
{
    return OF_ZERO(word) ? WORD_BITS : ZEROS_ABOVE(word);
}

#else

/* By halves: the upper one, if it has a bit, else the lower one. */
static inline size_t leading_zeros(size_t word)
{
    size_t zeros = word ? 0 : 1;
    for (size_t half = WORD_BITS / 2; half > 0; half /= 2)
        if (!(word >> (WORD_BITS - half))) {
            word <<= half;
            zeros += half;
        }
    return zeros;
}

static inline size_t lowest_bit(size_t word)
{
    return word ? WORD_BITS - 1 - leading_zeros(word & (0 - word)) : WORD_BITS;
}

#endif

/* The place after the highest bit. */
static inline size_t end_of(size_t word)
{
    return WORD_BITS - leading_zeros(word);
}

#endif
