/* SPDX-License-Identifier: MIT */
/* A node found on the way down the tree: one of a level, looked at from its first byte on. */
#ifndef FFALLOC_CORE_LEVEL_H
#define FFALLOC_CORE_LEVEL_H

#include "node.h"

#if !FFALLOC_SMALL

#if defined(__ARM_FEATURE_SIMD32) && defined(__thumb2__) && __GNUC__ >= 11 &&                      \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && !defined(FFALLOC_PLAIN)

/* Finds the first byte that is at least `least` in the node that begins with byte `first` of a
 * level. A word takes three instructions, of which gcc would make five. */
HOT bool level_find(const uint8_t *level, size_t first, unsigned least, size_t *found)
{
    size_t reach;
    const uint8_t *word = level + first;
    const uint8_t(*bytes)[] = (const uint8_t(*)[])level; /* some of which are read */
    __asm__ goto("ldr %0, [%1]\n\t"
                 "uqsub8 %0, %0, %2\n\t"
                 "cbnz %0, 1f\n\t"
                 "ldr %0, [%1, #4]!\n\t"
                 "uqsub8 %0, %0, %2\n\t"
                 "cbnz %0, 1f\n\t"
                 "ldr %0, [%1, #4]!\n\t"
                 "uqsub8 %0, %0, %2\n\t"
                 "cbnz %0, 1f\n\t"
                 "ldr %0, [%1, #4]!\n\t"
                 "uqsub8 %0, %0, %2\n\t"
                 "cmp %0, #0\n\t"
                 "beq %l[none]\n"
                 "1:"
                 : "=&l"(reach), "+&r"(word)
                 : "r"(bytes_bound(least)), "m"(*bytes)
                 : "cc"
                 : none);
    *found = (size_t)(word - level) + (lowest_bit(reach) >> 3);
    return true;
none:
    return false;
}

#else

/* Finds the first byte that is at least `least` in the node that begins with byte `first` of a
 * level. */
HOT bool level_find(const uint8_t *level, size_t first, unsigned least, size_t *found)
{
    size_t after;
    if (!node_find(level + first, 0, least, &after))
        return false;
    *found = first + after;
    return true;
}

#endif

#endif
#endif
