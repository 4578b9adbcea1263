/* SPDX-License-Identifier: MIT */
/*
 * dlopen without RTLD_DEEPBIND: a module bound so takes libc's malloc and free before ours, and
 * gets and hands over blocks of the rest of the program.
 *
 * dlopen looks for a file by the caller's own RUNPATH, and knows the caller by its return address.
 * So these end with the call of the real ones, which the compiler makes a jump. (In another
 * namespace the module has a libc of its own, and this library is not there.)
 */
#include "next.h"

static int without_deepbind(int mode)
{
    return heap.options.is_passed_through ? mode : mode & ~RTLD_DEEPBIND;
}

EXPORT void *dlopen(const char *file, int mode)
{
    static void *next;
    void *(*open)(const char *, int) = (void *(*)(const char *, int))next_function(&next, "dlopen");
    return open(file, without_deepbind(mode));
}

EXPORT void *dlmopen(Lmid_t space, const char *file, int mode)
{
    static void *next;
    void *(*open)(Lmid_t, const char *, int) =
        (void *(*)(Lmid_t, const char *, int))next_function(&next, "dlmopen");
    return open(space, file, space == LM_ID_BASE ? without_deepbind(mode) : mode);
}
