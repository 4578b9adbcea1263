/* SPDX-License-Identifier: MIT */
/* What lies at an address that AddressSanitizer complains of: its own report knows no block. */
#ifndef FFALLOC_DESCRIBE_H
#define FFALLOC_DESCRIBE_H

#include "annotate.h"
#include "ffalloc/ffalloc.h"

struct description {
    struct ffalloc_block block; /* the block or hole that contains the address, or the block
                                   before the hole if that is nearer */
    size_t size;                /* bytes that were asked for; of a hole: all */
    size_t distance;            /* bytes from its start, or from its end if `is_after` */
    bool is_after;
};

/* The block to blame for an access: one that ends up to this many bytes before a hole is more
 * likely to have been overrun than the hole to have been used after free. */
#define DESCRIBE_NEAR 16

/* False if and only if the pool does not own the address. */
static inline bool describe(const struct ffalloc_pool *pool, struct watchers watchers,
                            const void *address, struct description *description)
{
    struct ffalloc_block block;
    struct ffalloc_block left;
    if (!ffalloc_find(pool, address, &block))
        return false;
    size_t inside = (size_t)((const char *)address - (const char *)block.address);
    if (!block.is_used && inside < DESCRIBE_NEAR &&
        ffalloc_find(pool, (const char *)block.address - 1, &left) &&
        annotate_requested_size(watchers, left.address, left.size) == left.size) {
        *description = (struct description){left, left.size, inside, true};
        return true;
    }
    size_t size =
        block.is_used ? annotate_requested_size(watchers, block.address, block.size) : block.size;
    bool is_after = inside >= size;
    *description = (struct description){block, size, is_after ? inside - size : inside, is_after};
    return true;
}

/* printf's format and arguments for a description of `address`. */
#define DESCRIBE_FORMAT "%p is %zu bytes %s a %s of %zu bytes at %p"
#define DESCRIBE_ARGUMENTS(address, description)                                                   \
    (address), (description).distance, (description).is_after ? "after" : "inside",                \
        (description).block.is_used ? "block" : "hole (freed memory)", (description).size,         \
        (description).block.address

#endif
