/* SPDX-License-Identifier: MIT */
/* Why a trace needs its pool, and what would change that. */
#ifndef FFALLOC_TOOLS_REASONS_H
#define FFALLOC_TOOLS_REASONS_H

#include "search.h"
#include "sizing.h"
#include "symbols.h"

/* All that is told. */
struct reasons {
    struct sizing sizing;
    struct life life;
    struct trial trial;
    struct mark mark;
    struct search search;
    struct symbols *symbols;
};

/* As JSON. */
void reasons_print(const struct reasons *reasons);

#endif
