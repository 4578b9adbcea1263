/* SPDX-License-Identifier: MIT */
/* The array of a program that does not choose one. In a file of its own: the linker takes it out
 * of the library only if nobody else defines the array. */
#include "ffalloc/arena.h"

FFALLOC_ARENA(64 * 1024)
