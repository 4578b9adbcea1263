/* SPDX-License-Identifier: MIT */
/* A record of an allocation trace, FTRC version 1; see the FORMAT.md beside the traces. */
#ifndef FFALLOC_BENCH_FTRC_H
#define FFALLOC_BENCH_FTRC_H

#include <stdint.h>

enum { OP_MALLOC = 1, OP_CALLOC, OP_REALLOC, OP_FREE, OP_ALIGNED };

struct record {
    uint8_t op;
    uint8_t log2align;
    uint16_t thread;
    uint32_t id;
    uint32_t size;
};

#endif
