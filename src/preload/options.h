/* SPDX-License-Identifier: MIT */
/* The FFALLOC_* environment variables. README.md has the table for users. */
#ifndef FFALLOC_PRELOAD_OPTIONS_H
#define FFALLOC_PRELOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os.h"

enum stats_format { STATS_NONE, STATS_TEXT, STATS_JSON };
enum backtrace { BACKTRACE_CALLER, BACKTRACE_FRAMES, BACKTRACE_UNWIND };
enum on_error { ON_ERROR_DEFAULT, ON_ERROR_ABORT, ON_ERROR_REPORT };

/* Which requests FFALLOC_FAIL refuses; 0 in a field: not by that. */
struct fail_rule {
    uint64_t nth;         /* the request of this number, from 1 */
    uint64_t every;       /* each request whose number is a multiple */
    uint64_t probability; /* of 2^32 */
    uint64_t seed;
    size_t least_size; /* bytes; only requests of at least this size are counted or refused */
    bool is_set;
};

struct options {
    size_t pool_size;        /* bytes; 0: as much address space as can be had */
    const char *pool_device; /* ":cortex-m" and the like: the pool is that of a device in an array
                                of pool_size bytes; NULL or "": of this machine */
    unsigned pool_target;    /* the device, for ffalloc_target_granules; 0: this machine */
    size_t granule;          /* bytes */
    bool has_granule;        /* asked for */
    uint64_t check_every;
    struct fail_rule fail;
    const char *log;    /* a path, or NULL */
    const char *record; /* the folder of `ffalloc record`, or NULL */
    bool is_live;       /* may be recorded from now on by `ffalloc record --pid` */
    bool is_paused;     /* nothing is recorded until the program says so */
    enum backtrace backtrace;
    int log_descriptor;
    int fill;       /* byte that freed memory is filled with, its complement new memory; -1: none */
    bool has_guard; /* asked for, maybe none */
    size_t guard_size;      /* bytes behind each block; 0: none */
    bool has_quarantine;    /* asked for, maybe none */
    size_t quarantine_size; /* bytes of freed blocks that wait; 0: none */
    size_t sample_every;    /* one request of so many lies on pages of its own; 0: none */
    enum stats_format stats;
    enum on_error on_error;
    bool aborts_on_fail;
    bool ignores_valgrind; /* FFALLOC_VALGRIND=off */
    bool skips_leaks;      /* FFALLOC_LEAKS=0: no leak check at exit under Valgrind */
    unsigned verbosity;   /* 1: a line at the start and at the first failure; 2: at every failure */
    bool is_silent;       /* FFALLOC_VERBOSE=0: no line of a failure even so */
    bool is_from_command; /* the ffalloc command has started the program */
    bool is_passed_through; /* FFALLOC_ONLY names other programs: libc's malloc serves this one */
};

#define DEFAULT_GUARD ((size_t)64) /* bytes; what FFALLOC_GUARD=1 means */

/* Reads the environment. Each unknown name and bad value gets one line through `complain`, and
 * is otherwise as if it were not there. */
void options_read(struct options *options, const struct os_start *start,
                  void (*complain)(const char *format, ...));

struct options options_default(void);

/* Reads one option, whose name has no FFALLOC_ before it; false if its value makes no sense. */
bool options_take(struct options *options, const char *name, const char *value);

/* The granule: what was asked for, or a device's own. */
size_t options_granule(const struct options *options);

/* Memory for the pool that was asked for, of a device for as many granules as it has there; 0 if
 * no pool can have that size. */
size_t options_pool_memory(const struct options *options);

/* The last part of a path. */
const char *options_base_name(const char *path);

#endif
