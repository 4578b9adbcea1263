/* SPDX-License-Identifier: MIT */
/* What recording costs a program: its time with and without, by runs in turn. */
#ifndef FFALLOC_TOOLS_OVERHEAD_H
#define FFALLOC_TOOLS_OVERHEAD_H

#include "session.h"

/* The value of --overhead; ends with a line if it is none. */
unsigned overhead_parse(const char *text);

/* Runs what was asked to be recorded again, and prints the least times. */
void overhead_measure(const struct session *asked);

#endif
