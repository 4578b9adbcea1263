/* SPDX-License-Identifier: MIT */
/* The arena's pool: made at the first call, watched if somebody watches, with its weak hooks. */
#include "watchers.h"
#include "describe.h"
#include "served.h"

struct watchers ffalloc_arena_watchers;

/* Whoever takes the arena takes its malloc. */
static const char *const volatile malloc_is_here __attribute__((used)) = &ffalloc_arena_malloc;

static struct ffalloc_pool *pool;

__attribute__((weak)) void ffalloc_arena_lock(void)
{
}

__attribute__((weak)) void ffalloc_arena_unlock(void)
{
}

__attribute__((weak)) void ffalloc_arena_on_error(const void *address, enum ffalloc_error kind)
{
    (void)address;
    (void)kind;
    __builtin_trap();
}

__attribute__((weak)) void ffalloc_arena_on_out_of_memory(size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
}

static void on_error(struct ffalloc_pool *in, const void *address, enum ffalloc_error kind)
{
    (void)in;
    ffalloc_arena_on_error(address, kind);
}

static void *on_out_of_memory(struct ffalloc_pool *in, size_t size, size_t alignment)
{
    (void)in;
    ffalloc_arena_on_out_of_memory(size, alignment);
    return NULL;
}

static void forbid_blocks(struct watchers watchers)
{
    struct ffalloc_marks marks;
    ffalloc_marks(pool, &marks);
    annotate_forbid(watchers, marks.blocks, marks.usable_size);
}

struct ffalloc_pool *ffalloc_arena_pool(void)
{
    if (pool)
        return pool;
    /* The array is in .bss and nobody else's, so it reads as zero. */
    struct ffalloc_config config = {
        .is_zeroed = true, .on_error = on_error, .on_out_of_memory = on_out_of_memory};
    pool = ffalloc_init_with(ffalloc_arena_memory, ffalloc_arena_size, &config);
    if (pool && !serve_start(pool))
        pool = NULL;
    ffalloc_arena_watchers.valgrind = pool && RUNNING_ON_VALGRIND;
    if (pool)
        forbid_blocks(ffalloc_arena_watchers);
    return pool;
}

static bool allow_used(void *context, const struct ffalloc_block *block)
{
    (void)context;
    if (block->is_used)
        annotate_alloc((struct watchers){.asan = true}, block->address, block->size, false);
    return true;
}

/* AddressSanitizer's shadow is ready before constructors run, but not before the first malloc:
 * what was placed until now is told here. */
__attribute__((constructor)) static void start_asan(void)
{
    if (!annotate_has_asan() || !ffalloc_arena_pool())
        return;
    forbid_blocks((struct watchers){.asan = true});
    ffalloc_walk(pool, allow_used, NULL);
    ffalloc_arena_watchers.asan = true;
}

__attribute__((weak)) int dprintf(int descriptor, const char *format, ...);

/* AddressSanitizer calls this before its own report, which knows nothing of our blocks. Where it
 * is, there is a libc that can print. */
void __asan_on_error(void);
void __asan_on_error(void)
{
    void *address = __asan_get_report_address ? __asan_get_report_address() : NULL;
    struct description description;
    if (ffalloc_arena_watchers.asan && dprintf &&
        describe(pool, ffalloc_arena_watchers, address, &description))
        dprintf(2, "ffalloc: " DESCRIBE_FORMAT "\n", DESCRIBE_ARGUMENTS(address, description));
}
