/* SPDX-License-Identifier: MIT */
/* The first state of a pool. */
#ifndef FFALLOC_CORE_SETUP_H
#define FFALLOC_CORE_SETUP_H

#include "layout.h"

/* Makes a pool of one hole of `granules`, over a header and, as far as it is open, metadata that
 * read as zero. */
void ffalloc_set_up(struct ffalloc_pool *pool, const struct layout *layout, unsigned char *blocks,
                    size_t granules, unsigned log2, const struct ffalloc_config *config);

#endif
