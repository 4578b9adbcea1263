/* SPDX-License-Identifier: MIT */
/* The rings of recorded processes, and the folder in which they make them. */
#ifndef FFALLOC_TOOLS_RINGS_H
#define FFALLOC_TOOLS_RINGS_H

#include "ring.h"

/* Where such a folder may lie, the first choice at 0; NULL after the last. */
const char *rings_place(unsigned number);

/* Makes the folder, in memory if there is such a place, and returns its path; it is removed when
 * this process exits. Ends with a line if none can be made. */
const char *rings_make_folder(void);

/* Opens the ring at `path`, and removes it: both sides have it mapped. NULL if it is none. */
struct ring *ring_open(const char *path);
void ring_close(struct ring *ring);

#endif
