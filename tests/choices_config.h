/* SPDX-License-Identifier: MIT */
/* What test_choices.c compiles the core with. */
#include <stdbool.h>
#include <stddef.h>

struct ffalloc_pool;
extern unsigned alloc_traces, free_traces, resize_traces, fail_traces, assert_count;
extern const void *last_block;
extern size_t last_size, large_freed_size;

#define FFALLOC_GRANULE    32
#define FFALLOC_STATISTICS 0
#define FFALLOC_TRACE_ALLOC(pool, block, size)                                                     \
    ((void)(pool), last_block = (block), last_size = (size), (void)alloc_traces++)
#define FFALLOC_TRACE_FREE(pool, block) ((void)(pool), last_block = (block), (void)free_traces++)
#define FFALLOC_TRACE_RESIZE(pool, block, size)                                                    \
    ((void)(pool), last_block = (block), last_size = (size), (void)resize_traces++)
#define FFALLOC_TRACE_FAIL(pool, size)  ((void)(pool), last_size = (size), (void)fail_traces++)
#define FFALLOC_LARGE_FREED(pool, size) ((void)(pool), (void)(large_freed_size += (size)))
#define FFALLOC_ASSERT(condition)       ((condition) ? (void)0 : (void)assert_count++)
