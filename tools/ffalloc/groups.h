/* SPDX-License-Identifier: MIT */
/* The groups of blocks that changes are of, each made once, and who holds most at a mark. */
#ifndef FFALLOC_TOOLS_GROUPS_H
#define FFALLOC_TOOLS_GROUPS_H

#include "mark.h"

struct groups {
    struct group **all;
    size_t size, count;
};

/* All blocks of that size or site, in the order of their birth. BY_NONE has no blocks. */
struct group *group_of_all(struct groups *groups, const struct life *life, enum group_by by,
                           uint64_t value);
/* These, which lie side by side; one is a group by itself. */
struct group *group_of(struct groups *groups, const uint32_t *blocks, uint32_t count);
void groups_free(struct groups *groups);

/* What blocks of one size, or one site, hold at a mark. */
struct holder {
    uint64_t value;   /* the size or the site */
    uint64_t bytes;   /* each block at its largest */
    uint64_t forever; /* bytes, of those that are never freed */
    uint32_t count;
};

/* Who holds most comes first. To be freed. */
struct holder *holders_take(const struct life *life, const struct mark *mark, enum group_by by,
                            uint32_t *count);

#endif
