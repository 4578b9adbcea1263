/* SPDX-License-Identifier: MIT */
/*
 * Guards: bytes behind each block that are nobody's, so that who writes beyond a block is caught.
 *
 * A layer over the core's public calls. A block of `asked` bytes is asked of the core with `size`
 * bytes more, and looks so:
 *
 *     block                 asked                        usable, a multiple of the granule
 *     +---------------------+-------------------+------+------+
 *     | the program's       | pattern           | site | word |
 *     +---------------------+-------------------+------+------+
 *                           |<------- slack, `size` and more ->|
 *
 * The guard begins at the first byte that was not asked for, whatever its remainder of the granule.
 * Its pattern follows from a secret and each byte's address: a copy of one guard is none elsewhere.
 * No byte of it is below 128, so that text, the end of a string and small numbers are always seen.
 * The word at its end is the slack and whether the block waits in a quarantine, multiplied, so that
 * no bit of it can be changed alone, under a mask made of the secret, the word's address and the
 * site. So the block itself tells the size that was asked for, and an end that was overwritten
 * tells none that can be, but by a chance of one in 2^58, and in firmware with 32 bits 2^18. The
 * site is where the block was asked for; firmware has none.
 *
 * What must hold, for each pool of a guarded heap:
 *   1. Behind each block lies its guard.
 *   2. Before each block lies the guard of its left neighbour, or a hole. Before the first one lies
 *      the guard of a block of 1 byte, placed first, so that a variable before the pool and an
 *      underflow of the first block are seen, too.
 *   3. Where freed memory is filled, each byte of a hole below the high-water mark is the fill.
 * So an overflow is told by the block's own guard, an underflow by that of the left neighbour or by
 * the end of the hole there, and a write after free by the fill: when the block leaves the
 * quarantine, when the memory is given out again, and whenever all is verified.
 *
 * A guard is verified when its block, or that on its right, is freed or resized, and when all are.
 * What is damaged is told once, and made whole again.
 *
 * Why not otherwise: a table of sizes beside the heap survives any overflow, but a firmware has no
 * room for it; a guard before each block costs as much again, and finds nothing that the left
 * neighbour's does not. Pages without access find a write at once, for 4 KiB a block.
 *
 * This file has what both houses share: guarded.c, for firmware, and src/preload/guards.c, which
 * has the quarantine, the fill and the messages, too.
 */
#ifndef FFALLOC_GUARD_LAYOUT_H
#define FFALLOC_GUARD_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard {
    size_t size;    /* bytes at least behind each block, GUARD_LEAST or more; 0: no guards */
    size_t granule; /* bytes, of the pools */
    uintptr_t secret;
    bool has_sites;
};

/* Of the end: the word, and before it the site. */
#define GUARD_WORD  sizeof(uintptr_t)
#define GUARD_LEAST (2 * GUARD_WORD) /* with sites half as much again */

static inline size_t guard_end_size(const struct guard *guard)
{
    return guard->has_sites ? 2 * GUARD_WORD : GUARD_WORD;
}

/* Set in each word, so that its byte next to the block on the right is above 127, too (but where
 * bytes of a word are in the other order). What is multiplied counts below it. */
#define GUARD_TOP (UINTPTR_MAX - (UINTPTR_MAX >> 1))

/* 2^64 over the golden ratio, and what undoes a multiplication by it, below any power of two. */
#define GUARD_FACTOR  ((uintptr_t)0x9e3779b97f4a7c15u)
#define GUARD_INVERSE ((uintptr_t)0xf1de83e19937733du)

static inline unsigned char guard_byte(uintptr_t secret, uintptr_t address)
{
    return (unsigned char)((uint32_t)(address ^ secret) * (uint32_t)GUARD_FACTOR >> 24 | 0x80);
}

static inline uintptr_t guard_mask(uintptr_t secret, uintptr_t address, uintptr_t site)
{
    uintptr_t mask = (secret ^ address) * GUARD_FACTOR;
    return (mask ^ mask >> (4 * GUARD_WORD - 3) ^ site) * GUARD_FACTOR;
}

/* What to ask of the core for a block of `asked` bytes. No block has more than SIZE_MAX / 2. */
static inline size_t guard_gross(const struct guard *guard, size_t asked)
{
    return asked > SIZE_MAX / 2 ? SIZE_MAX : asked + guard->size;
}

/* The bytes that the core gives for that. */
static inline size_t guard_usable(const struct guard *guard, size_t asked)
{
    return (asked + guard->size + guard->granule - 1) & ~(guard->granule - 1);
}

static inline uintptr_t *guard_word(unsigned char *block, size_t usable)
{
    return (uintptr_t *)(void *)(block + usable) - 1;
}

/* 0 if there are none. */
static inline uintptr_t guard_site(const struct guard *guard, unsigned char *block, size_t usable)
{
    return guard->has_sites ? guard_word(block, usable)[-1] : 0;
}

static inline uintptr_t guard_word_for(const struct guard *guard, unsigned char *block,
                                       size_t usable, size_t asked, uintptr_t site, bool is_waiting)
{
    uintptr_t address = (uintptr_t)guard_word(block, usable);
    uintptr_t plain = (usable - asked) << 1 | is_waiting;
    return (plain * GUARD_FACTOR ^ guard_mask(guard->secret, address, site)) | GUARD_TOP;
}

/* Writes the end of a guard. */
static inline void guard_note(const struct guard *guard, unsigned char *block, size_t usable,
                              size_t asked, uintptr_t site, bool is_waiting)
{
    uintptr_t *word = guard_word(block, usable);
    if (guard->has_sites)
        word[-1] = site;
    *word = guard_word_for(guard, block, usable, asked, site, is_waiting);
}

/* Writes all of it. */
static inline void guard_seal(const struct guard *guard, unsigned char *block, size_t usable,
                              size_t asked, uintptr_t site)
{
    size_t end = usable - guard_end_size(guard);
    for (size_t i = asked; i < end; i++)
        block[i] = guard_byte(guard->secret, (uintptr_t)(block + i));
    guard_note(guard, block, usable, asked, site, false);
}

/* What a guard's end says. */
struct guard_end {
    size_t asked; /* bytes; SIZE_MAX: the end was overwritten, and nothing is known */
    uintptr_t site;
    bool is_waiting;
};

static inline struct guard_end guard_read(const struct guard *guard, unsigned char *block,
                                          size_t usable)
{
    uintptr_t *word = guard_word(block, usable);
    uintptr_t site = guard_site(guard, block, usable);
    uintptr_t plain = (*word ^ guard_mask(guard->secret, (uintptr_t)word, site)) * GUARD_INVERSE;
    size_t slack = (plain & ~GUARD_TOP) >> 1;
    if (slack - guard->size >= guard->granule || slack > usable || *word < GUARD_TOP)
        return (struct guard_end){.asked = SIZE_MAX};
    return (struct guard_end){usable - slack, site, plain & 1};
}

/* The first byte of the pattern from `from` on that was overwritten; the end of the pattern if none
 * was. */
static inline size_t guard_first_damaged(const struct guard *guard, const unsigned char *block,
                                         size_t usable, size_t from)
{
    size_t end = usable - guard_end_size(guard);
    while (from < end && block[from] == guard_byte(guard->secret, (uintptr_t)(block + from)))
        from++;
    return from;
}

static inline bool guard_is_whole(const struct guard *guard, unsigned char *block, size_t usable)
{
    struct guard_end end = guard_read(guard, block, usable);
    return end.asked != SIZE_MAX &&
           guard_first_damaged(guard, block, usable, end.asked) == usable - guard_end_size(guard);
}

#endif
