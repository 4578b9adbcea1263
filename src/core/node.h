/* SPDX-License-Identifier: MIT */
/*
 * A node of the tree of largest holes: FANOUT bytes, four machine words, looked at all at once.
 * With SSE2 or NEON these are two registers; else words, compared byte by byte in parallel by
 * arithmetic, or on Cortex-M4 and its like by instructions for four bytes at once. FFALLOC_PLAIN
 * picks portable arithmetic everywhere, for tests.
 *
 * With 64-bit words nodes of 16 bytes took 2 to 6 % more instructions for redis's, sqlite's,
 * gawk's, perl's, nginx's and vim's traces, and up to an eighth more branches were mispredicted;
 * nodes of 64 bytes 2 % more on average. (Level 0 gains most: where a free or a malloc looks beyond
 * a leaf.) With 32-bit words nodes of 8 bytes took 4 % more instructions on a Cortex-M4 over the
 * embedded traces, of 4 bytes 10 %.
 */
#ifndef FFALLOC_CORE_NODE_H
#define FFALLOC_CORE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "bits.h"
#include "choices.h"

#if defined(__SSE2__) && UINTPTR_MAX > 0xffffffff && !defined(FFALLOC_PLAIN) && !FFALLOC_SMALL
#define HAS_SSE2 1
#else
#define HAS_SSE2 0
#endif
#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN) &&                   \
    !defined(FFALLOC_PLAIN) && !FFALLOC_SMALL
#define HAS_NEON 1
#else
#define HAS_NEON 0
#endif
#define FANOUT_LOG2_OF(word_log2, is_small) ((is_small) ? 3u : (word_log2)-1u)

#define FANOUT_LOG2  FANOUT_LOG2_OF(WORD_LOG2, FFALLOC_SMALL)
#define FANOUT       (1u << FANOUT_LOG2)
#define NODE_ALIGNED ALIGNED_TO(FANOUT / 2) /* what looks at a node relies on */

#if FFALLOC_SMALL
/* small.c has its own. */
#elif HAS_SSE2

/* gcc's header wants stdlib.h for a function that nobody here calls: keep that part out. */
#define _MM_MALLOC_H_INCLUDED
#include <emmintrin.h>

/* 16 of the node's bytes. */
HOT __m128i half_node(const uint8_t *bytes)
{
    return _mm_load_si128((const __m128i *)(const void *)bytes);
}

/* A bit for each of 16 bytes: whether it is at least the bound's, which then has nothing more. */
HOT size_t half_reach(const uint8_t *bytes, __m128i bound)
{
    __m128i more = _mm_subs_epu8(bound, half_node(bytes));
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(more, _mm_setzero_si128()));
}

/* A bit for each of the node's bytes: whether it is at least `least`. */
HOT size_t node_reach(const uint8_t *node, unsigned least)
{
    __m128i bound = _mm_set1_epi32((int)(least * 0x01010101u));
    return half_reach(node, bound) | half_reach(node + 16, bound) << 16;
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
    return vector_max(_mm_max_epu8(half_node(node), half_node(node + 16)));
}

/* The largest of the node's bytes but one. */
static inline unsigned node_max_but(const uint8_t *node, unsigned child)
{
    static const uint8_t zero_at_15[31] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                           255, 255, 255, 255, 0,   255, 255, 255, 255, 255, 255,
                                           255, 255, 255, 255, 255, 255, 255, 255, 255};
    const void *mask_at = zero_at_15 + 15 - child % 16;
    __m128i mask = _mm_loadu_si128((const __m128i *)mask_at);
    __m128i its_half = _mm_and_si128(half_node(node + (child & 16)), mask);
    return vector_max(_mm_max_epu8(its_half, half_node(node + (~child & 16))));
}

#elif HAS_NEON

#include <arm_neon.h>

/* A bit for each of 16 bytes, `bits` for 8 of them: whether it is at least the bound's. */
HOT uint8x16_t half_reach(const uint8_t *bytes, uint8x16_t bound, uint8x16_t bits)
{
    return vandq_u8(vcgeq_u8(vld1q_u8(bytes), bound), bits);
}

HOT size_t node_reach(const uint8_t *node, unsigned least)
{
    uint8x16_t bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint8x16_t bound = vdupq_n_u8((uint8_t)least);
    uint8x16_t reach = vpaddq_u8(half_reach(node, bound, bits), half_reach(node + 16, bound, bits));
    reach = vpaddq_u8(reach, reach);
    reach = vpaddq_u8(reach, reach);
    return vgetq_lane_u32(vreinterpretq_u32_u8(reach), 0);
}

HOT unsigned node_max(const uint8_t *node)
{
    return vmaxvq_u8(vmaxq_u8(vld1q_u8(node), vld1q_u8(node + 16)));
}

static inline unsigned node_max_but(const uint8_t *node, unsigned child)
{
    static const uint8_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8x16_t is_child = vceqq_u8(vld1q_u8(numbers), vdupq_n_u8((uint8_t)(child & 15)));
    uint8x16_t its_half = vbicq_u8(vld1q_u8(node + (child & 16)), is_child);
    return vmaxvq_u8(vmaxq_u8(its_half, vld1q_u8(node + (~child & 16))));
}

#else

/* A word of one byte again and again. */
#define IN_EACH_BYTE(byte) (SIZE_MAX / 0xff * (byte))

/* Bit 7 of each byte: x >= bound there. The subtraction is kept inside each byte by setting
 * bit 7 of x and clearing it in the bound; where those bits differ they decide, else it does. */
HOT size_t bytes_at_least(size_t x, size_t bound)
{
    const size_t high = IN_EACH_BYTE(0x80);
    size_t low_at_least = (x | high) - (bound & ~high);
    return ((x & ~bound) | (~(x ^ bound) & low_at_least)) & high;
}

#if defined(__ARM_FEATURE_SIMD32) && !defined(FFALLOC_PLAIN)

#include <arm_acle.h>

/* What bytes_reach compares with. */
HOT size_t bytes_bound(unsigned least)
{
    least--; /* gcc would multiply first */
    return IN_EACH_BYTE(least);
}

/* Bits of those bytes of x that are at least the bound's `least`, above 0: what they have more. */
HOT size_t bytes_reach(size_t x, size_t bound)
{
    return __uqsub8(x, bound);
}

HOT size_t bytes_max(size_t x, size_t y)
{
    __usub8(x, y);
    return __sel(x, y);
}

#else

HOT size_t bytes_bound(unsigned least)
{
    return IN_EACH_BYTE(least);
}

HOT size_t bytes_reach(size_t x, size_t bound)
{
    return bytes_at_least(x, bound);
}

static inline size_t bytes_max(size_t x, size_t y)
{
    size_t high = bytes_at_least(x, y);
    size_t mask = (high << 1) - (high >> 7);
    return (x & mask) | (y & ~mask);
}

#endif

/* Of the four words of a node, bytes. */
#define NODE_WORD ((unsigned)sizeof(size_t))

/* The word of a node that begins with byte `at`. Byte 0 is the lowest, whatever the machine. */
HOT size_t node_word(const uint8_t *node, unsigned at)
{
    size_t word = 0;
#ifdef __GNUC__
    __builtin_memcpy(&word, __builtin_assume_aligned(node + at, sizeof word), sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = sizeof word > 4 ? __builtin_bswap64(word) : __builtin_bswap32(word);
#endif
#else
    for (unsigned i = 0; i < NODE_WORD; i++)
        word |= (size_t)node[at + i] << 8 * i;
#endif
    return word;
}

/* Bits of the bytes in such a word, from byte `from` of the node on, that reach the bound. */
HOT size_t word_reach(const uint8_t *node, unsigned at, unsigned from, size_t bound)
{
    if (from >= at + NODE_WORD)
        return 0;
    unsigned skipped = from > at ? 8 * (from - at) : 0;
    return bytes_reach(node_word(node, at), bound) >> skipped << skipped;
}

/* Finds the first of the node's bytes, from byte `from` on, that is at least `least`. Sets `after`
 * to how far after `from` it is. */
HOT bool node_find(const uint8_t *node, unsigned from, unsigned least, size_t *after)
{
    size_t bound = bytes_bound(least);
    unsigned at = 0;
    size_t found = word_reach(node, 0, from, bound);
    if (!found)
        found = word_reach(node, at = NODE_WORD, from, bound);
    if (!found)
        found = word_reach(node, at = 2 * NODE_WORD, from, bound);
    if (!found)
        found = word_reach(node, at = 3 * NODE_WORD, from, bound);
    if (!found)
        return false;
    *after = at + (lowest_bit(found) >> 3) - from;
    return true;
}

HOT size_t node_reach(const uint8_t *node, unsigned least)
{
    /* Bit 0 of each byte to the highest byte. */
    const size_t gather = (size_t)(0x0102040810204080u >> (64 - WORD_BITS));
    size_t reach = 0;
    for (unsigned at = 0; at < FANOUT; at += NODE_WORD) {
        size_t high = bytes_at_least(node_word(node, at), IN_EACH_BYTE(least));
        reach |= (high >> 7) * gather >> (WORD_BITS - 8) << at;
    }
    return reach;
}

HOT unsigned largest_of(size_t bytes)
{
    bytes = bytes_max(bytes, bytes >> 4 * NODE_WORD);
    bytes = bytes_max(bytes, bytes >> 2 * NODE_WORD);
    if (NODE_WORD > 4)
        bytes = bytes_max(bytes, bytes >> NODE_WORD);
    return bytes & 0xff;
}

HOT unsigned node_max(const uint8_t *node)
{
    size_t low = bytes_max(node_word(node, 0), node_word(node, NODE_WORD));
    size_t high = bytes_max(node_word(node, 2 * NODE_WORD), node_word(node, 3 * NODE_WORD));
    return largest_of(bytes_max(low, high));
}

static inline unsigned node_max_but(const uint8_t *node, unsigned child)
{
    size_t bytes = 0;
    for (unsigned at = 0; at < FANOUT; at += NODE_WORD) {
        size_t word = node_word(node, at);
        if (child - at < NODE_WORD)
            word &= ~((size_t)0xff << 8 * (child - at));
        bytes = bytes_max(bytes, word);
    }
    return largest_of(bytes);
}

#endif

#if HAS_SSE2 || HAS_NEON

/* Finds the first of the node's bytes, from byte `from` on, that is at least `least`. Sets `after`
 * to how far after `from` it is. */
HOT bool node_find(const uint8_t *node, unsigned from, unsigned least, size_t *after)
{
    size_t found = node_reach(node, least) >> from;
    if (!found)
        return false;
    *after = lowest_bit(found);
    return true;
}

#endif

#endif
