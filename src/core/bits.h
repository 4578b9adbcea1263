/* SPDX-License-Identifier: MIT */
/* The machine word, size_t, and where in one the lowest and the highest bit are. */
#ifndef FFALLOC_CORE_BITS_H
#define FFALLOC_CORE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if SIZE_MAX < 0xffffffff
#error "ffalloc needs pointers of 32 or 64 bits, not of 16 as AVR and MSP430 have them"
#elif SIZE_MAX > 0xffffffff
#define WORD_LOG2 6
#else
#define WORD_LOG2 5
#endif
#define WORD_BITS ((size_t)1 << WORD_LOG2)

/* From here on gcc knows not how a value came to be: it keeps the value, and nothing that it could
 * use in its place or make of it. */
#define KEEP(value) __asm__("" : "+r"(value))

/* On ARM gcc would rather keep the array's address and an offset or two; two loads at one pointer
 * are one instruction. */
#if WORD_LOG2 == 5
#define KEEP_POINTER(pointer) KEEP(pointer)
#else
#define KEEP_POINTER(pointer) ((void)0)
#endif

/* `word` is not 0 in all of these; end_of is the place after the highest bit. */
#if defined(__x86_64__) && WORD_LOG2 == 6 && !defined(__clang__)

/* gcc's builtins return an int, which it then widens by an instruction each time: 1 % of all. */
static inline size_t lowest_bit(size_t word)
{
    size_t place;
    __asm__("rep bsfq %1, %0" : "=r"(place) : "r"(word) : "cc");
    return place;
}

static inline size_t end_of(size_t word)
{
    size_t place;
    __asm__("bsrq %1, %0" : "=r"(place) : "r"(word) : "cc");
    return place + 1;
}

static inline size_t leading_zeros(size_t word)
{
    return WORD_BITS - end_of(word);
}

/* Takes `count` from `*stock`; returns whether that was less. gcc would not do it in memory, and
 * malloc then took 2 % more instructions. */
static inline bool take_from(size_t *stock, size_t count)
{
    bool is_less;
    __asm__("subq %2, %0" : "+m"(*stock), "=@ccb"(is_less) : "r"(count));
    return is_less;
}

#else

/* clang makes what it likes of 0, which overwritten metadata may have. */
#ifdef __clang__
#define IS_ZERO(word) (!(word))
#else
#define IS_ZERO(word) false
#endif

static inline size_t lowest_bit(size_t word)
{
    return IS_ZERO(word) ? WORD_BITS : (unsigned)__builtin_ctzl(word);
}

static inline size_t leading_zeros(size_t word)
{
    return IS_ZERO(word) ? WORD_BITS : (unsigned)__builtin_clzl(word);
}

static inline size_t end_of(size_t word)
{
    return WORD_BITS - leading_zeros(word);
}

static inline bool take_from(size_t *stock, size_t count)
{
    return __builtin_sub_overflow(*stock, count, stock);
}

#endif
#endif
