/* SPDX-License-Identifier: MIT */
/*
 * A node of the tree of largest holes: FANOUT bytes, looked at all at once. With SSE2 that is
 * 16 bytes in one register; else 8 bytes as two words of 32 bits, compared byte by byte in
 * parallel by arithmetic: so also with 32-bit pointers, where pools are small and 16 bytes a loss.
 * Cortex-M4 and its like have instructions for four bytes at once. FFALLOC_PLAIN picks portable
 * arithmetic everywhere, for tests.
 */
#ifndef FFALLOC_CORE_NODE_H
#define FFALLOC_CORE_NODE_H

#include <stdint.h>

#include "choices.h"

/* On the way of every call: a function of its own only where size is what counts. */
#if FFALLOC_SMALL
#define HOT static inline
#else
#define HOT static inline __attribute__((always_inline))
#endif

#if defined(__SSE2__) && UINTPTR_MAX > 0xffffffff && !defined(FFALLOC_PLAIN) && !FFALLOC_SMALL
#define FANOUT_LOG2 4
#define HAS_SSE2    1
#else
#define FANOUT_LOG2 3
#define HAS_SSE2    0
#endif
#define FANOUT (1u << FANOUT_LOG2)

#if FFALLOC_SMALL
/* small.c has its own. */
#elif HAS_SSE2

/* gcc's header wants stdlib.h for a function that nobody here calls: keep that part out. */
#define _MM_MALLOC_H_INCLUDED
#include <emmintrin.h>

/* A bit for each of the node's bytes that is at least `least`. */
HOT unsigned node_all(const uint8_t *node, unsigned least)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)node);
    __m128i bound = _mm_set1_epi8((char)least);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(bytes, bound), bytes));
}

/* The first of the node's bytes, from byte `from` on, that is at least `least`; FANOUT if none is.
 */
HOT unsigned node_first(const uint8_t *node, unsigned from, unsigned least)
{
    return (unsigned)__builtin_ctz(node_all(node, least) >> from << from | 1u << FANOUT);
}

static inline unsigned vector_max(__m128i bytes)
{
    bytes = _mm_max_epu8(bytes, _mm_srli_si128(bytes, 8));
    bytes = _mm_max_epu8(bytes, _mm_srli_si128(bytes, 4));
    bytes = _mm_max_epu8(bytes, _mm_srli_si128(bytes, 2));
    bytes = _mm_max_epu8(bytes, _mm_srli_si128(bytes, 1));
    return (unsigned)_mm_cvtsi128_si32(bytes) & 0xff;
}

/* The largest of the node's bytes. */
HOT unsigned node_max(const uint8_t *node)
{
    return vector_max(_mm_loadu_si128((const __m128i *)(const void *)node));
}

/* The largest of the node's bytes but one. */
static inline unsigned node_max_but(const uint8_t *node, unsigned child)
{
    static const uint8_t zero_at_15[2 * FANOUT - 1] = {
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)node);
    const void *mask = zero_at_15 + (FANOUT - 1 - child);
    return vector_max(_mm_and_si128(bytes, _mm_loadu_si128((const __m128i *)mask)));
}

#else

#if defined(__ARM_FEATURE_SIMD32) && !defined(FFALLOC_PLAIN)

#include <arm_acle.h>

/* Bit 7 of each byte: x >= bound there. */
HOT uint32_t bytes_at_least(uint32_t x, uint32_t bound)
{
    __usub8(x, bound);
    return __sel(0x80808080, 0);
}

static inline uint32_t bytes_max(uint32_t x, uint32_t y)
{
    __usub8(x, y);
    return __sel(x, y);
}

#else

/* Bit 7 of each byte: x >= bound there. The subtraction is kept inside each byte by setting
 * bit 7 of x and clearing it in the bound; where those bits differ they decide, else it does. */
HOT uint32_t bytes_at_least(uint32_t x, uint32_t bound)
{
    const uint32_t high = 0x80808080;
    uint32_t low_at_least = (x | high) - (bound & ~high);
    return ((x & ~bound) | (~(x ^ bound) & low_at_least)) & high;
}

static inline uint32_t bytes_max(uint32_t x, uint32_t y)
{
    uint32_t high = bytes_at_least(x, y);
    uint32_t mask = (high << 1) - (high >> 7);
    return (x & mask) | (y & ~mask);
}

#endif

/* Nodes lie at multiples of 8. Byte 0 of four is the lowest, whatever the machine. */
HOT uint32_t node_word(const uint8_t *byte)
{
    uint32_t word;
    __builtin_memcpy(&word, __builtin_assume_aligned(byte, sizeof word), sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

/* Bit 7 of each byte, gathered in one number: the product has bit 8 i + 7 at 24 + i. */
static inline unsigned gathered(uint32_t found)
{
    return (found >> 7) * 0x01020408u >> 24;
}

static inline unsigned node_all(const uint8_t *node, unsigned least)
{
    uint32_t bound = least * 0x01010101u;
    return gathered(bytes_at_least(node_word(node), bound)) |
           gathered(bytes_at_least(node_word(node + 4), bound)) << 4;
}

HOT unsigned node_first(const uint8_t *node, unsigned from, unsigned least)
{
    uint32_t bound = least * 0x01010101u;
    uint32_t found;
    if (from < 4) {
        found = bytes_at_least(node_word(node), bound) >> 8 * from;
        if (found)
            return from + ((unsigned)__builtin_ctz(found) >> 3);
        from = 4;
    }
    found = bytes_at_least(node_word(node + 4), bound) >> 8 * (from - 4);
    return found ? from + ((unsigned)__builtin_ctz(found) >> 3) : FANOUT;
}

HOT unsigned largest_of(uint32_t bytes, uint32_t more)
{
    bytes = bytes_max(bytes, more);
    bytes = bytes_max(bytes, bytes >> 16);
    return bytes_max(bytes, bytes >> 8) & 0xff;
}

HOT unsigned node_max(const uint8_t *node)
{
    return largest_of(node_word(node), node_word(node + 4));
}

static inline unsigned node_max_but(const uint8_t *node, unsigned child)
{
    uint32_t others = ~((uint32_t)0xff << 8 * (child & 3));
    uint32_t low = node_word(node);
    uint32_t high = node_word(node + 4);
    return child < 4 ? largest_of(low & others, high) : largest_of(low, high & others);
}

#endif
#endif
