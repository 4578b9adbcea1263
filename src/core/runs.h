/* SPDX-License-Identifier: MIT */
/* Runs of set bits in a word: where so many begin, and how long the longest is. */
#ifndef FFALLOC_CORE_RUNS_H
#define FFALLOC_CORE_RUNS_H

#include "pool.h"

#if !FFALLOC_SMALL

/* Where 4 set bits begin. */
static inline size_t mask_runs_of_4(size_t mask)
{
    size_t runs2 = mask & mask >> 1;
    return runs2 & runs2 >> 2;
}

/* Where `count` set bits begin, more than 8; `runs8` has the places where 8 do. */
HOT size_t runs_beyond_8(size_t runs8, size_t count)
{
    EXPECT(count > 8 && count < WORD_BITS);
    if (count <= 16)
        return runs8 & runs8 >> (count - 8);
    size_t runs = runs8 & runs8 >> 8;
    size_t length = 16;
    if (WORD_LOG2 == 6) {
        size_t more = count < 32 ? count - 16 : 16;
        runs &= runs >> more;
        length += more;
    }
    return runs & runs >> (count - length);
}

#if WORD_LOG2 == 6

/* One of the steps below: and-s each offset so far with one that is about as far again. */
static inline size_t run_step(size_t mask, size_t count, unsigned step)
{
    return mask & mask >> ((count + ((size_t)1 << step) - 1) >> (step + 1));
}

/*
 * A bit for each position in `mask` at which `count` set bits begin; `count` is 1 to 8. Each step
 * doubles, or nearly, the number of offsets that have been and-ed together, until it is all of 0 to
 * count - 1. Three steps are enough.
 */
HOT size_t mask_runs_to_8(size_t mask, size_t count)
{
    EXPECT(count >= 1 && count <= 8);
    mask = run_step(mask, count, 0);
    mask = run_step(mask, count, 1);
    return run_step(mask, count, 2);
}

/* Where `count` set bits begin, 1 to WORD_BITS - 1. */
HOT size_t mask_runs(size_t mask, size_t count)
{
    EXPECT(count >= 1 && count < WORD_BITS);
    if (count <= 8)
        return mask_runs_to_8(mask, count);
    size_t runs4 = mask_runs_of_4(mask);
    return runs_beyond_8(runs4 & runs4 >> 4, count);
}

#else

/* Where `count` set bits begin, 1 to WORD_BITS - 1: two runs of 1, 2, 4, 8 or 16, the second
 * shifted, make it. There is a step less with a shift that varies, and an operand that is shifted
 * by a constant costs ARM nothing. */
HOT size_t mask_runs(size_t mask, size_t count)
{
    EXPECT(count >= 1 && count < WORD_BITS);
    size_t runs2 = mask & mask >> 1;
    if (count < 4)
        return count == 1 ? mask : runs2 & runs2 >> (count - 2);
    size_t runs4 = runs2 & runs2 >> 2;
    if (count <= 8)
        return runs4 & runs4 >> (count - 4);
    return runs_beyond_8(runs4 & runs4 >> 4, count);
}

#endif

/* The longer of a run of `length` set bits, of which `runs` has the starts, and one of `more` bits
 * beyond it, if there is one. */
static inline unsigned lengthen_run(size_t *runs, size_t more_runs, unsigned length, unsigned more)
{
    size_t longer = *runs & more_runs >> length;
    *runs = longer ? longer : *runs;
    return length + (longer ? more : 0);
}

/* The length of the longest run of set bits, of which the runs of 4 are known and there are
 * some: by doubling, then by halves. It is below WORD_BITS. */
static inline unsigned mask_longest_from_4(size_t mask, size_t runs4)
{
    size_t runs2 = mask & mask >> 1;
    size_t runs8 = runs4 & runs4 >> 4;
    if (!runs8) {
        size_t runs6 = runs4 & runs2 >> 4;
        return runs6 ? 6u + ((runs6 & mask >> 6) != 0) : 4u + ((runs4 & mask >> 4) != 0);
    }
    size_t runs16 = runs8 & runs8 >> 8;
    size_t runs32 = WORD_BITS > 32 ? runs16 & runs16 >> 16 : 0;
    size_t runs = runs8;
    unsigned length = 8;
    if (runs32) {
        runs = runs32;
        length = lengthen_run(&runs, runs16, 32, 16);
        length = lengthen_run(&runs, runs8, length, 8);
    } else if (runs16) {
        runs = runs16;
        length = lengthen_run(&runs, runs8, 16, 8);
    }
    length = lengthen_run(&runs, runs4, length, 4);
    length = lengthen_run(&runs, runs2, length, 2);
    return lengthen_run(&runs, mask, length, 1);
}

/* The length of the longest run of set bits, 0 if none is set; there are no 4 in a row: most holes
 * are that short. With 64-bit words this has no branch: the processor could not tell which way. */
static inline unsigned mask_longest_below_4(size_t mask)
{
    size_t runs2 = mask & mask >> 1;
    size_t runs3 = runs2 & runs2 >> 1;
    if (WORD_LOG2 == 6)
        return (unsigned)(mask != 0) + (runs2 != 0) + (runs3 != 0);
    return runs3 ? 3 : runs2 ? 2 : mask != 0;
}

/* The length of the longest run of set bits, 0 if none is set. */
static inline unsigned mask_longest(size_t mask)
{
    size_t runs4 = mask_runs_of_4(mask);
    return runs4 ? mask_longest_from_4(mask, runs4) : mask_longest_below_4(mask);
}

#endif
#endif
