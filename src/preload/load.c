/* SPDX-License-Identifier: MIT */
/* What happens when the library is loaded and when the process ends. */
#include <stdlib.h>

#include "recording.h"

/* Through a pointer that the compiler cannot see through: the call that a program makes. */
static void *(*volatile visible_malloc)(size_t size) = malloc;
static void (*volatile visible_free)(void *block) = free;

static void tell_if_replaced(void)
{
    void *block = visible_malloc(1);
    bool is_ours = heap_shard_of(block);
    bool is_told = heap.options.verbosity > 0 || heap.options.is_from_command;
    if (!is_ours && heap.watchers.valgrind)
        heap_message("Valgrind has replaced malloc by its own; run it as: "
                     "valgrind --soname-synonyms=somalloc=nouserintercepts ...");
    else if (!is_ours && heap.watchers.asan && is_told)
        heap_message("AddressSanitizer has put its own malloc before this one, as in a program "
                     "that clang links: nothing of it is seen here");
    visible_free(block);
}

static void tell_start(void)
{
    const struct options *options = &heap.options;
    heap_message("version " FFALLOC_VERSION ", %u pool%s of %s%zu bytes, granule %zu, fill %d, "
                 "check every %llu, fail rule %s, errors %s, %s, %s way, guards of %zu "
                 "bytes, quarantine %zu, sample %zu",
                 heap.shard_count, heap.shard_count == 1 ? "" : "s",
                 heap.is_growing ? "at most " : "", heap.ranges[0].size, options->granule,
                 options->fill, (unsigned long long)options->check_every,
                 options->fail.is_set ? "set" : "none",
                 heap.has_abort_on_error ? "abort" : "are reported",
                 heap.watchers.valgrind ? "under Valgrind"
                 : annotate_has_asan()  ? "under AddressSanitizer"
                                        : "nobody watches",
                 heap.plain_pool ? "short" : "long", heap.guards.guard.size,
                 heap.guards.quarantine_size, sampling.every);
}

__attribute__((constructor)) static void start(void)
{
    heap_start();
    if (heap.options.is_passed_through)
        return;
    heap_start_threads();
    heap_start_cxx();
    heap_start_asan();
    sample_start_faults();
    if (heap.options.verbosity > 0)
        tell_start();
    if (heap.watchers.valgrind || heap.watchers.asan)
        tell_if_replaced();
}

/* Protects the pages that a range lies in, or undoes that. */
static void protect(unsigned char *start, size_t size, bool is_read_only)
{
    uintptr_t mask = heap.page_size - 1;
    uintptr_t from = (uintptr_t)start & ~mask;
    uintptr_t to = ((uintptr_t)start + size + mask) & ~mask;
    os_protect((void *)from, to - from, is_read_only);
}

/* The blocks ever used, and the pool's header, which knows where the first one lies. No more:
 * Valgrind takes seconds for each gigabyte. */
static void protect_shards(bool is_read_only)
{
    for (unsigned i = 0; i < heap.shard_count; i++) {
        struct ffalloc_pool *pool = heap.shards[i].pool;
        struct ffalloc_marks marks;
        if (!pool)
            continue;
        ffalloc_marks(pool, &marks);
        protect((unsigned char *)pool, 1, is_read_only);
        if (marks.high_water_size > 0)
            protect(marks.blocks, marks.high_water_size, is_read_only);
    }
}

/*
 * Valgrind takes every writable mapping for a root, and so a leaked cycle in our arena for
 * reachable: the blocks are read-only while it looks.
 */
static void check_leaks(void)
{
    protect_shards(true);
    VALGRIND_DO_LEAK_CHECK;
    protect_shards(false);
}

/* What still waits is freed: it is in use no more. */
static void verify_all(void)
{
    for (unsigned i = 0; i < heap.shard_count && heap.guards.is_on; i++) {
        struct shard *shard = &heap.shards[i];
        heap_lock(shard);
        if (shard->pool) {
            guards_check(shard, "the check at exit");
            guards_empty(shard);
        }
        heap_unlock(shard);
    }
}

__attribute__((destructor)) static void finish(void)
{
    record_finish();
    verify_all();
    sample_finish();
    heap_report();
    if (heap.watchers.valgrind && heap.shard_count > 0 && !heap.options.skips_leaks)
        check_leaks();
}
