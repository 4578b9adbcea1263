/* SPDX-License-Identifier: MIT */
/* Starting a program under libffalloc.so. */
#ifndef FFALLOC_TOOLS_LAUNCH_H
#define FFALLOC_TOOLS_LAUNCH_H

#include <argp.h>
#include <stdbool.h>

#include "options.h"

/* Options of the library, in the order asked for: "POOL=64K GRANULE=8". */
struct launch {
    char settings[400];
    struct options options; /* as the library will read them */
    char *only;             /* FFALLOC_ONLY, or NULL */
    bool has_unwind;
    bool chooses_backtrace; /* the best that works */
};

/* Nothing asked for. */
struct launch launch_default(void);

/* --pool, --granule and --only, whose input is a struct launch: the first of a command's children.
 */
extern const struct argp launch_argp;

/* Adds NAME=value, asked for by the option `flag`; ends, saying that it is not `what`, if the
 * library would not take it. */
void launch_set(struct launch *launch, const char *flag, const char *name, const char *value,
                const char *what);

/* Ends with a line if the options make no sense together, or no program follows them. */
void launch_check(const struct launch *launch, const char *command, int first, int argc);

/* The path of a program; ends with a line and the status of env(1) if there is no such program, or
 * the loader would not load the library into it: it is static, or set-user-ID, or has words of
 * another size. Of a script its interpreter is looked at. */
const char *launch_find(const char *program);

/* Once the program is known, chooses how its call sites are found, and returns what to say of that;
 * NULL if a way was asked for. */
const char *launch_choose_backtrace(struct launch *launch);

/* Puts the library, and what was set, into the environment. */
void launch_prepare(const struct launch *launch);

/* Replaces this process by the program; ends with a line if that fails. */
void launch_exec(const char *path, char **arguments) __attribute__((noreturn));

#endif
