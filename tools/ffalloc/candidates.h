/* SPDX-License-Identifier: MIT */
/* What to try: the changes that a moment suggests. */
#ifndef FFALLOC_TOOLS_CANDIDATES_H
#define FFALLOC_TOOLS_CANDIDATES_H

#include "search.h"

/* The plan to which candidates are added, and what may be replayed for it. */
struct round {
    struct search *search;
    struct plan base;
    unsigned number; /* from 1 */
    uint64_t limit;
    uint64_t listed_below; /* bytes of a pool */
};

/* All that the mark suggests, the best candidates first. */
void candidates_try(struct round *round, const struct mark *mark);

/* One change. Sizes are many for a group, and come once each; any other is tried once a round. */
void candidates_try_change(struct round *round, enum change_kind kind, struct group *group,
                           uint64_t from, uint64_t to);

#endif
