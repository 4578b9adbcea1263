/* SPDX-License-Identifier: MIT */
/* The heap of the unit tests on a device: their model's, and newlib's. */
#include <ffalloc/arena.h>

FFALLOC_ARENA(1536 * 1024)
