/* SPDX-License-Identifier: MIT */
/* Names for return addresses of a recorded process, from the files that it had mapped. */
#ifndef FFALLOC_TOOLS_SYMBOLS_H
#define FFALLOC_TOOLS_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "trace.h"

struct symbols;

struct symbol {
    const char *function; /* "?" if not known */
    const char *name;     /* the same as it is shown: without parameters, templates shortened */
    const char *file;     /* source, NULL if not known */
    int line;
    const char *module; /* file name of the program or library, "" if not known */
};

/* `maps` may be NULL: then no address has a name. */
struct symbols *symbols_open(const char *maps);
const struct symbol *symbols_find(struct symbols *symbols, uint64_t return_address);
void symbols_close(struct symbols *symbols);

/* Which frame of a stack to show as its site: the first outside libc, libstdc++, the allocator's
 * wrappers and what --skip names. */
size_t symbols_site(struct symbols *symbols, const struct trace_stack *stack);

/* For each stack of a trace that has been read the first with the same site, in a new array. */
uint32_t *symbols_merge(struct symbols *symbols, const struct trace *trace);

/* "function file.c:12", "function in libx.so" or "0x1234", in a buffer used again. */
const char *symbols_text(struct symbols *symbols, const struct trace_stack *stack);

#endif
