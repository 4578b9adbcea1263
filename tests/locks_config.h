/* SPDX-License-Identifier: MIT */
/* A lock that counts (test_locks.c). */
#ifndef FFALLOC_TESTS_LOCKS_CONFIG_H
#define FFALLOC_TESTS_LOCKS_CONFIG_H

struct ffalloc_pool;
void count_lock(const struct ffalloc_pool *pool);
void count_unlock(const struct ffalloc_pool *pool);

#define FFALLOC_LOCK(pool)   count_lock(pool)
#define FFALLOC_UNLOCK(pool) count_unlock(pool)

#endif
