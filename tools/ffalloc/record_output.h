/* SPDX-License-Identifier: MIT */
/* Where the traces of a recording go. */
#ifndef FFALLOC_TOOLS_RECORD_OUTPUT_H
#define FFALLOC_TOOLS_RECORD_OUTPUT_H

#include <stdbool.h>

struct record_output {
    const char *name; /* as asked for: %p is a process's number, "-" standard output */
    int special;      /* what has that name and is no regular file, open; -1 */
};

/* Opens what is no regular file. Ends with a line if no trace can be written there: that is found
 * out before the program runs, not after. */
void record_output_open(struct record_output *output);

bool record_output_is_standard(const struct record_output *output);

/* The name of a process's trace, in a new string. */
char *record_output_path(const struct record_output *output, unsigned process);

#endif
