/* SPDX-License-Identifier: MIT */
/* What the parts of `ffalloc size` share: the command, its answer about a trace, and that about
 * several runs. */
#ifndef FFALLOC_TOOLS_SIZE_H
#define FFALLOC_TOOLS_SIZE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ffalloc/ffalloc.h"
#include "sizing.h"

#define SIZE_RUNS_MOST 1000

struct size_arguments {
    char **words; /* traces; with runs a program and its arguments, then NULL */
    size_t word_count;
    size_t run_count; /* 0: traces are sized */
    size_t granule;
    size_t guard_size; /* bytes; 0: no guards */
    uint64_t fits;     /* bytes, 0: not asked */
    double margin;     /* a part of the pool; below 0: not asked */
    unsigned target;   /* of ffalloc_target_pool_size_for; 0: this machine */
    bool is_json;
};

static inline unsigned size_target(const struct size_arguments *arguments)
{
    return sizing_target(arguments->target);
}

static inline unsigned size_word_bits(const struct size_arguments *arguments)
{
    return size_target(arguments) & ~FFALLOC_TARGET_SMALL;
}

static inline bool size_is_small(const struct size_arguments *arguments)
{
    return size_target(arguments) & FFALLOC_TARGET_SMALL;
}

/* The granule to size with; 0 for the trace's own. */
static inline size_t size_granule(const struct size_arguments *arguments)
{
    return sizing_granule(arguments->granule, size_target(arguments));
}

/* Prints the answer about one trace. */
void size_print(const struct sizing *sizing, const struct size_arguments *arguments);

/* The parts that the answer about several runs has, too. */
const char *size_target_text(const struct size_arguments *arguments);
void size_print_suggestion(uint64_t pool, const struct size_arguments *arguments);
void size_add_answers(cJSON *object, uint64_t pool, bool has_failed,
                      const struct size_arguments *arguments);

/* Whether a pool fits; says so if it does not, or that cannot be told. */
bool size_judge(const char *name, uint64_t pool, uint64_t failed_count,
                const struct size_arguments *arguments);

/* Records the program so often, and prints the least, the median and the largest pool; returns
 * whether the largest fits. */
bool size_runs(const struct size_arguments *arguments);

#endif
