/* SPDX-License-Identifier: MIT */
/*
 * What the core asks of a compiler beyond ISO C11, each with what does without: the core is the
 * same with any. FFALLOC_PLAIN leaves out the builtins and the processor's vectors, for tests.
 */
#ifndef FFALLOC_CORE_COMPILER_H
#define FFALLOC_CORE_COMPILER_H

#include "choices.h"

#if defined(__GNUC__) && !defined(FFALLOC_PLAIN)
#define HAS_BIT_BUILTINS 1
#else
#define HAS_BIT_BUILTINS 0
#endif

/* clang makes what it likes of 0, which overwritten metadata may have. */
#ifdef __clang__
#define OF_ZERO(word) (!(word))
#else
#define OF_ZERO(word) false
#endif

#ifdef __GNUC__
#define ALWAYS_INLINE     __attribute__((always_inline))
#define NOINLINE          __attribute__((noinline))
#define COLD              __attribute__((noinline, cold))
#define UNREACHABLE()     __builtin_unreachable()
#define IS_RARE(is_true)  __builtin_expect(is_true, 0)
#define ALIGNED_TO(bytes) __attribute__((aligned(bytes)))
#define EXTENSION         __extension__ /* a flexible array, as C++ */
#else
#define ALWAYS_INLINE
#define NOINLINE
#define COLD
#define UNREACHABLE()     ((void)0)
#define IS_RARE(is_true)  (is_true)
#define ALIGNED_TO(bytes) _Alignas(bytes)
#define EXTENSION
#endif

/* What a function's caller has made sure of, at its head. Test builds that define FFALLOC_EXPECT
 * end where it does not hold; overwritten metadata, too, may lead there. */
#ifdef FFALLOC_EXPECT
#define EXPECT(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define EXPECT(condition) ((void)0)
#endif

/* Of a rarer way that a function ends with: one of its own, so that the other saves fewer
 * registers. With 32-bit words few are saved, and code counts: there the compiler decides. */
#if UINTPTR_MAX > 0xffffffff && !FFALLOC_SMALL
#define APART static NOINLINE
#else
#define APART static
#endif

/* On the way of every call: a function of its own only where size is what counts. */
#if FFALLOC_SMALL
#define HOT static inline
#else
#define HOT static inline ALWAYS_INLINE
#endif

#endif
