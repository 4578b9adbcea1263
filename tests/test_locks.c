/* SPDX-License-Identifier: MIT */
/* With FFALLOC_LOCK and FFALLOC_UNLOCK each public call takes the lock once and gives it back,
 * however it ends; but for a hook that calls the pool, it is never taken twice. */
#include <stdint.h>
#include <string.h>

#include "ffalloc/ffalloc.h"
#include "unit.h"

static _Alignas(64) unsigned char memory[8192];
static struct ffalloc_pool *pool;
static unsigned depth, lock_count, wrong_count, told_count, depth_in_hook, visit_count;
static void *to_free;

void count_lock(const struct ffalloc_pool *of)
{
    wrong_count += of != pool;
    depth++;
    lock_count++;
}

void count_unlock(const struct ffalloc_pool *of)
{
    wrong_count += of != pool || depth == 0;
    depth--;
}

static void on_error(struct ffalloc_pool *of, const void *address, enum ffalloc_error kind)
{
    (void)of;
    (void)address;
    (void)kind;
    told_count++;
    depth_in_hook = depth;
}

static void *on_out_of_memory(struct ffalloc_pool *of, size_t size, size_t alignment)
{
    (void)alignment;
    depth_in_hook = depth;
    if (!to_free)
        return NULL;
    ffalloc_free(of, to_free);
    to_free = NULL;
    return ffalloc_malloc(of, size);
}

static bool visit(void *context, const struct ffalloc_block *block)
{
    (void)context;
    (void)block;
    wrong_count += depth != 1;
    visit_count++;
    return true;
}

/* The call took the lock once, and gave it back. */
#define ONCE(call)                                                                                 \
    do {                                                                                           \
        unsigned before = lock_count;                                                              \
        cr_assert(call);                                                                           \
        cr_assert(lock_count == before + 1 && depth == 0 && wrong_count == 0, #call);              \
    } while (0)
#define ONCE_VOID(call) ONCE(((call), true))

static void start(void)
{
    struct ffalloc_config config = {.on_error = on_error, .on_out_of_memory = on_out_of_memory};
    lock_count = told_count = 0;
    to_free = NULL;
    pool = ffalloc_init_with(memory, sizeof memory, &config);
    cr_assert(pool && lock_count == 0);
}

Test(locks, are_taken_once_by_each_call)
{
    struct ffalloc_block block;
    struct ffalloc_stats stats;
    struct ffalloc_marks marks;
    char *one, *two, *three;
    start();
    ONCE(one = ffalloc_malloc(pool, 100));
    ONCE(two = ffalloc_calloc(pool, 10, 10));
    ONCE(three = ffalloc_aligned_alloc(pool, 256, 10));
    ONCE(one = ffalloc_realloc(pool, one, 1000)); /* moves */
    ONCE(one = ffalloc_realloc(pool, one, 10));
    ONCE(ffalloc_resize(pool, two, 1));
    ONCE(ffalloc_usable_size(pool, two) > 0);
    ONCE(ffalloc_owns(pool, two));
    ONCE(ffalloc_find(pool, two, &block));
    ONCE_VOID(ffalloc_stats(pool, &stats));
    ONCE_VOID(ffalloc_marks(pool, &marks));
    ONCE_VOID(ffalloc_reset_marks(pool));
    ONCE(ffalloc_check(pool, NULL));
    ONCE_VOID(ffalloc_walk(pool, visit, NULL));
    ONCE_VOID(ffalloc_walk_holes(pool, 1, visit, NULL));
    ONCE_VOID(ffalloc_free(pool, one));
    ONCE(ffalloc_release(pool, two) > 0);
    ONCE(!(one = ffalloc_realloc(pool, NULL, 9000)));
    ONCE_VOID(ffalloc_free(pool, three));
    cr_assert(visit_count > 2 && told_count == 0);
}

Test(locks, are_given_back_by_each_call_that_fails)
{
    int other;
    start();
    char *one = ffalloc_malloc(pool, 100);
    ONCE(!ffalloc_malloc(pool, 9000));
    cr_assert(depth_in_hook == 1);
    ONCE(!ffalloc_malloc(pool, SIZE_MAX));
    ONCE(!ffalloc_calloc(pool, SIZE_MAX, 2));
    ONCE(!ffalloc_aligned_alloc(pool, 3, 2));
    ONCE(!ffalloc_aligned_alloc(pool, 4096, 8192));
    ONCE(!ffalloc_realloc(pool, one, 9000));
    ONCE(!ffalloc_resize(pool, one, 9000));
    ONCE_VOID(ffalloc_free(pool, NULL));
    ONCE(ffalloc_release(pool, NULL) == 0);
    cr_assert(told_count == 0);
    depth_in_hook = 0;
    ONCE_VOID(ffalloc_free(pool, &other));
    cr_assert(told_count == 1 && depth_in_hook == 1);
    ONCE(!ffalloc_realloc(pool, one + 1, 10));
    ONCE(!ffalloc_resize(pool, one + 1, 10));
    ONCE(ffalloc_release(pool, one + 1) == 0);
    ONCE(ffalloc_usable_size(pool, one + 1) == 0);
    cr_assert(told_count == 5 && ffalloc_release(pool, one) > 0);
}

Test(locks, nest_where_a_hook_calls_the_pool)
{
    start();
    char *one = ffalloc_malloc(pool, 7000);
    char *two = ffalloc_malloc(pool, 100);
    memset(two, 7, 100);
    to_free = one;
    unsigned before = lock_count;
    char *moved = ffalloc_realloc(pool, two, 6000);
    cr_assert(moved == one && moved[99] == 7);
    cr_assert(lock_count == before + 3 && depth == 0 && wrong_count == 0 && depth_in_hook == 1);
}
