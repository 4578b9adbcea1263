/* SPDX-License-Identifier: MIT */
/*
 * The hash of a run's placements: two machines that print the same one have placed every block at
 * the same offset. FNV-1a (Fowler, Noll, Vo) over 64-bit words, one for each request in order: the
 * offset of its block in granules, or all ones if it failed.
 */
#ifndef FFALLOC_TOOLS_HASH_H
#define FFALLOC_TOOLS_HASH_H

#include <stdint.h>

#define HASH_START  0xcbf29ce484222325u
#define HASH_PRIME  0x100000001b3u
#define HASH_FAILED UINT64_MAX

static inline uint64_t hash_add(uint64_t hash, uint64_t granule)
{
    return (hash ^ granule) * HASH_PRIME;
}

#endif
