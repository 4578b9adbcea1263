/* SPDX-License-Identifier: MIT */
/*
 * Where messages and the report at exit go: to a descriptor that the process started with, as long
 * as its number still stands for that file. Programs close theirs, and a file of their own then
 * gets the number.
 */
#ifndef FFALLOC_PRELOAD_OUTPUT_H
#define FFALLOC_PRELOAD_OUTPUT_H

#include "os.h"

struct output {
    int descriptor;
    int copy;            /* under a number that programs do not use; -1: none */
    struct os_file file; /* of both, when the process started */
};

/* Notes which file it is. */
void output_open(struct output *output, int descriptor);

/* Makes the copy: many programs close their descriptors before they end. */
void output_keep(struct output *output);

/* The descriptor to write to, -1 if the file is no longer to be had. */
int output_now(const struct output *output);

/* The descriptor for a message, -1 if there is none; a message follows a standard error that the
 * program has moved to a log. */
int output_for_message(const struct output *output);

#endif
