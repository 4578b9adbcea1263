/* SPDX-License-Identifier: MIT */
/*
 * What the commands of `ffalloc` share. Data goes to standard output, everything said about it to
 * standard error, one line each, after "ffalloc: ".
 */
#ifndef FFALLOC_TOOLS_COMMAND_H
#define FFALLOC_TOOLS_COMMAND_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum status {
    STATUS_OK = 0,
    STATUS_NO = 1,       /* what was asked is not so: it does not fit, a check failed */
    STATUS_USAGE = 2,    /* the arguments make no sense */
    STATUS_FAILED = 125, /* ffalloc itself could not do its work; these three as in env(1) */
    STATUS_CANNOT_RUN = 126,
    STATUS_NOT_FOUND = 127
};

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(enum status status, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* What a word has at its end when so many are meant. */
static inline const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* Writes out standard output; says so and ends if that fails, as on a full disk. */
void finish_output(void);

/* The value of an argument, or ends with a line: 64K, 16M, 1.5G, 70001; 8, 16, ... 4096. */
uint64_t parse_size_argument(const char *option, const char *text);
/* The same for a pool, ":cortex-m" or ":rv32" included, as FFALLOC_POOL takes it; in `value`. */
void parse_pool_argument(const char *text, char *value, size_t value_size);
pid_t parse_process_argument(const char *command, const char *text);
size_t parse_granule_argument(const char *text);

/* A size for a person, such as "12.3 KiB", in a buffer used again after a few calls. */
const char *person(uint64_t size);

double seconds(void); /* of CLOCK_MONOTONIC */

void *allocate(size_t size); /* zeroed; ends if there is no memory */
void *grow(void *block, size_t *count, size_t needed, size_t size);

/* A file without a name, which is gone when it is closed; -1 and errno if none can be made. */
int temporary_file(void);

/* The library's name at run time; without the number, it comes with the headers. */
#define PRELOAD_LIBRARY "libffalloc.so.0"

/* The stacks of 64-bit programs; built if libunwind is there. */
#define UNWIND_LIBRARY "libffalloc-unwind.so"

/* Where the parts of ffalloc lie: beside the command in a build folder, or installed. Each ends
 * if it is not there. */
const char *find_library(const char *name);
bool has_library(const char *name);
const char *find_library_32(void); /* for programs of 32 bits */
bool has_library_32(void);
const char *find_views(void);

/* One file each. argv[0] is "ffalloc NAME". */
int command_run(int argc, char **argv);
int command_record(int argc, char **argv);
int command_snapshot(int argc, char **argv);
int command_top(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_size(int argc, char **argv);
int command_data(int argc, char **argv);
int command_reasons(int argc, char **argv);
int command_events(int argc, char **argv);

#endif
