/* SPDX-License-Identifier: MIT */
/* Which functions stand between a call site and the allocator, and how a name is shown. */
#ifndef FFALLOC_TOOLS_SITES_H
#define FFALLOC_TOOLS_SITES_H

#include <argp.h>
#include <stdbool.h>

/* The children of a command that has --skip and no others. */
extern const struct argp_child sites_children[];

/* Whether this is no call site: a wrapper of the allocator by its name, or what --skip names. */
bool sites_is_wrapper(const char *name);

/* Whether this library is libc, libstdc++ or the like, or --skip names it. */
bool sites_is_library(const char *module);

/* A demangled name without what its parameters and its templates' long arguments are, in a new
 * string. */
char *sites_short_name(const char *function);

#endif
