/* SPDX-License-Identifier: MIT */
/* Runs every test, or those whose suite is named, in this process; the first failure ends it. */
#include <stdarg.h>
#include <string.h>

#include "unit.h"

struct unit_test *unit_tests;

void unit_fail(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: %s:", file, line, condition);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* With UNIT_ALL, on a device, what stands for arguments is no name of ours. */
#ifdef UNIT_ALL
#define NAMES(argc) 0
#else
#define NAMES(argc) ((argc)-1)
#endif

static int is_named(const struct unit_test *test, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (strcmp(test->suite, names[i]) == 0)
            return 1;
    return count == 0;
}

int main(int argc, char **argv)
{
    unsigned passed = 0;
    (void)argc;
    for (struct unit_test *test = unit_tests; test; test = test->next) {
        if (!is_named(test, NAMES(argc), argv + 1))
            continue;
        fprintf(stderr, "%s.%s\n", test->suite, test->name);
        test->run();
        passed++;
    }
    printf("%u passed, 0 failed\n", passed);
    return passed == 0;
}
