/* SPDX-License-Identifier: MIT */
/*
 * A node of the tree of largest holes: FANOUT bytes, looked at all at once. With SSE2 that is
 * 16 bytes in one register; else 8 bytes as two words of 32 bits, compared byte by byte in
 * parallel by arithmetic: so also with 32-bit pointers, where pools are small and 16 bytes a loss.
 * FFALLOC_PLAIN picks the second everywhere, for tests.
 */
#ifndef FFALLOC_CORE_NODE_H
#define FFALLOC_CORE_NODE_H

#include <stdint.h>

#if defined(__SSE2__) && UINTPTR_MAX > 0xffffffff && !defined(FFALLOC_PLAIN)

/* gcc's header wants stdlib.h for a function that nobody here calls: keep that part out. */
#define _MM_MALLOC_H_INCLUDED
#include <emmintrin.h>

#define FANOUT_LOG2 4
#define FANOUT      (1u << FANOUT_LOG2)

/* Returns a bit for each of the node's bytes that is at least `least`. */
static inline unsigned node_at_least(const uint8_t *node, unsigned least)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)node);
    __m128i bound = _mm_set1_epi8((char)least);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(bytes, bound), bytes));
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
static inline unsigned node_max(const uint8_t *node)
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

#define FANOUT_LOG2 3
#define FANOUT      (1u << FANOUT_LOG2)

/* Little-endian whatever the machine, so that byte 0 of the node is bit 0 of the result. */
static inline uint32_t node_word(const uint8_t *byte)
{
    return (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 |
           (uint32_t)byte[3] << 24;
}

/*
 * Bit 7 of each byte: x >= bound there. The subtraction is kept inside each byte by setting
 * bit 7 of x and clearing it in the bound; where those bits differ they decide, else it does.
 */
static inline uint32_t bytes_at_least(uint32_t x, uint32_t bound)
{
    const uint32_t high = 0x80808080;
    uint32_t low_at_least = (x | high) - (bound & ~high);
    return ((x & ~bound) | (~(x ^ bound) & low_at_least)) & high;
}

/* Gathers bit 7 of each byte into bits 0 to 3: the product brings them to the top, in order. */
static inline unsigned gather(uint32_t high_bits)
{
    return (unsigned)(((high_bits >> 7) * 0x10204080u) >> 28) & 0xf;
}

static inline unsigned node_at_least(const uint8_t *node, unsigned least)
{
    uint32_t bound = least * 0x01010101u;
    return gather(bytes_at_least(node_word(node), bound)) |
           gather(bytes_at_least(node_word(node + 4), bound)) << 4;
}

static inline unsigned node_max_but(const uint8_t *node, unsigned child)
{
    unsigned max = 0;
    for (unsigned i = 0; i < FANOUT; i++)
        max = i != child && node[i] > max ? node[i] : max;
    return max;
}

static inline unsigned node_max(const uint8_t *node)
{
    return node_max_but(node, FANOUT);
}

#endif
#endif
