/* SPDX-License-Identifier: MIT */
/* The arena's error hook of a program that goes on. */
#include <ffalloc/arena.h>
#include <ffalloc/guarded.h>
#include <stdio.h>

void ffalloc_arena_on_error(const void *address, enum ffalloc_error kind)
{
    fprintf(stderr, "arena: error %d at %p\n", (int)kind, address);
}

void ffalloc_guard_on_damage(struct ffalloc_pool *pool, void *block, size_t size)
{
    (void)pool;
    fprintf(stderr, "arena: written beyond %zu bytes at %p\n", size, block);
}
