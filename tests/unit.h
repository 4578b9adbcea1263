/* SPDX-License-Identifier: MIT */
/*
 * Criterion's Test and cr_assert; and, with UNIT_PLAIN, the same two over a main of a page,
 * for where Criterion cannot go: -m32, Valgrind and the sanitizers (whose findings in a worker
 * process Criterion does not count as failures).
 */
#ifndef FFALLOC_TESTS_UNIT_H
#define FFALLOC_TESTS_UNIT_H

#ifndef UNIT_PLAIN

#include <criterion/criterion.h>

#else

#include <stdio.h>
#include <stdlib.h>

struct unit_test {
    const char *suite;
    const char *name;
    void (*run)(void);
    struct unit_test *next;
};
extern struct unit_test *unit_tests;

#define Test(suite_, name_)                                                                        \
    static void suite_##_##name_(void);                                                            \
    __attribute__((constructor)) static void add_##suite_##_##name_(void)                          \
    {                                                                                              \
        static struct unit_test test = {#suite_, #name_, suite_##_##name_, NULL};                  \
        test.next = unit_tests;                                                                    \
        unit_tests = &test;                                                                        \
    }                                                                                              \
    static void suite_##_##name_(void)

#define cr_assert(condition, ...)                                                                  \
    ((condition) ? (void)0 : unit_fail(__FILE__, __LINE__, #condition, " " __VA_ARGS__))

__attribute__((noreturn, format(printf, 4, 5))) void
unit_fail(const char *file, int line, const char *condition, const char *format, ...);

#endif
#endif
