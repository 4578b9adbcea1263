/* SPDX-License-Identifier: MIT */
/*
 * For newlib, whose own functions (printf, fopen, strdup) call malloc by these names, with its
 * reentrancy structure in front: they go to the arena too, and newlib's heap is not linked.
 * picolibc calls malloc itself and needs nothing of this.
 */
#include <stddef.h>

struct _reent;

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void *memalign(size_t alignment, size_t size);
size_t malloc_usable_size(void *block);
void free(void *block);

void *_malloc_r(struct _reent *reent, size_t size);
void *_calloc_r(struct _reent *reent, size_t count, size_t size);
void *_realloc_r(struct _reent *reent, void *block, size_t size);
void *_memalign_r(struct _reent *reent, size_t alignment, size_t size);
size_t _malloc_usable_size_r(struct _reent *reent, void *block);
void _free_r(struct _reent *reent, void *block);

void *_malloc_r(struct _reent *reent, size_t size)
{
    (void)reent;
    return malloc(size);
}

void *_calloc_r(struct _reent *reent, size_t count, size_t size)
{
    (void)reent;
    return calloc(count, size);
}

void *_realloc_r(struct _reent *reent, void *block, size_t size)
{
    (void)reent;
    return realloc(block, size);
}

void *_memalign_r(struct _reent *reent, size_t alignment, size_t size)
{
    (void)reent;
    return memalign(alignment, size);
}

size_t _malloc_usable_size_r(struct _reent *reent, void *block)
{
    (void)reent;
    return malloc_usable_size(block);
}

void _free_r(struct _reent *reent, void *block)
{
    (void)reent;
    free(block);
}
