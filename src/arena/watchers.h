/* SPDX-License-Identifier: MIT */
#ifndef FFALLOC_ARENA_WATCHERS_H
#define FFALLOC_ARENA_WATCHERS_H

#include "annotate.h"
#include "ffalloc/arena.h"

/* Who watches the arena's blocks; nobody before its pool was made. */
extern struct watchers ffalloc_arena_watchers;

#endif
