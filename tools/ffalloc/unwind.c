/* SPDX-License-Identifier: MIT */
/*
 * libffalloc-unwind.so: the stack of a call, for `ffalloc record --backtrace unwind`. Loaded beside
 * libffalloc.so, which itself depends on nothing and finds this one by a weak reference. libunwind
 * reads the program's unwind tables, and takes its own memory from the system, not from malloc.
 */
#define UNW_LOCAL_ONLY
#include <libunwind.h>

int ffalloc_unwind(void **frames, int count);

/* Fills in up to `count` return addresses, innermost first; returns how many. */
__attribute__((visibility("default"))) int ffalloc_unwind(void **frames, int count)
{
    return unw_backtrace(frames, count);
}
