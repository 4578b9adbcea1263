/* SPDX-License-Identifier: MIT */
/* What ffalloc_check and its parts share: what is looked at, and the first fault that was found. */
#ifndef FFALLOC_CORE_AUDIT_H
#define FFALLOC_CORE_AUDIT_H

#include "pool.h"

struct audit {
    const struct ffalloc_pool *pool;
    struct ffalloc_fault fault;
};

/* Returns whether `holds`; notes the rule and the place if not. */
bool ffalloc_require(struct audit *audit, bool holds, const char *rule, size_t granule);

/* Tests the index of a pool whose map is sound. */
bool ffalloc_check_index(struct audit *audit);

#endif
