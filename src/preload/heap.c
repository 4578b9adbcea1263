/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <errno.h>
#include <stdlib.h>

#include "recording.h"

struct heap heap;
__thread struct shard *heap_home __attribute__((tls_model("initial-exec")));
__thread struct shard *heap_plain_home __attribute__((tls_model("initial-exec")));
__thread const char *heap_call __attribute__((tls_model("initial-exec")));
const char heap_calloc_name[] = "calloc";

/* For those who look from outside, gdb and `ffalloc dump`: the pools in use, NULL for the others.
 */
extern struct ffalloc_pool *ffalloc_pools[SHARD_LIMIT];
__attribute__((visibility("default"))) struct ffalloc_pool *ffalloc_pools[SHARD_LIMIT];

/* Bytes that a pool opens at a time, or an eighth of what is open, if that is more. */
#define OPEN_STEP ((size_t)128 << 10)

bool heap_is_ready(struct shard *shard, size_t size)
{
    if (shard->pool)
        return true;
    const struct range *range = &heap.ranges[shard - heap.shards];
    if (size > 0 && !heap_has_room(range, size))
        return false;
    struct ffalloc_config config = {
        .granule = heap.options.granule,
        .is_zeroed = true,
        .on_error = heap_on_error,
        .on_out_of_memory = heap_on_out_of_memory,
        .on_open = heap.is_growing ? heap_on_open : NULL,
        .open_unit = heap.page_size,
        .open_step = OPEN_STEP,
        .blocks_alignment = LARGEST_FIXED_ALIGNMENT,
    };
    size_t metadata_size =
        heap.is_growing ? 0 : ffalloc_metadata_size(range->size, heap.options.granule);
    struct ffalloc_pool *pool = ffalloc_init_with(range->start, range->size, &config);
    if (!pool)
        return false;
    shard->range = *range;
    shard->frees_to_look = FREES_TO_LOOK;
    shard->poisoned_end = range->start + metadata_size;
    if (heap.watchers.valgrind) /* then it does not grow */
        annotate_forbid(heap.watchers, shard->poisoned_end, range->size - metadata_size);
    ffalloc_pools[shard - heap.shards] = pool;
    __atomic_store_n(&shard->pool, pool, __ATOMIC_RELEASE);
    guards_start_pool(shard);
    return true;
}

void heap_start(void)
{
    if (heap.is_started)
        return;
    heap.is_started = true;
    output_open(&heap.standard_error, 2);
    heap.page_size = os_page_size();
    struct os_start start = os_start();
    options_read(&heap.options, &start, heap_message);
    if (heap.options.is_passed_through)
        return;
    heap_open_report();
    heap.watchers.valgrind = RUNNING_ON_VALGRIND && !heap.options.ignores_valgrind;
    heap.has_abort_on_error =
        heap.options.on_error == ON_ERROR_ABORT ||
        (heap.options.on_error == ON_ERROR_DEFAULT && !heap.watchers.valgrind);
    guards_start();
    if (!heap_reserve()) {
        heap.shard_count = 0;
        heap_message("no memory can be reserved: every request will fail");
        return;
    }
    heap.shards[0].inbox.reader_count = 1;
    heap_home = &heap.shards[0];
    heap.is_bare = !heap.watchers.valgrind && !annotate_has_asan() && !heap.options.fail.is_set &&
                   heap.options.check_every == 0 && !heap.guards.is_on;
    sample_start();
    record_start();
    heap.has_sites = heap.recorder || (heap.guards.has_guards && !heap.watchers.valgrind);
    heap.plain_pool = heap.is_bare && !heap.recorder ? heap.shards[0].pool : NULL;
    sample_choose_way();
    heap_set_plain_home();
}

/* Requests ------------------------------------------------------------------------------ */

/* splitmix64 (Steele, Lea, Flood 2014) of the seed and the request's number: reproducible
 * whatever the order of threads. */
static uint64_t draw(uint64_t seed, uint64_t number)
{
    uint64_t x = seed + number * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static bool is_refused_by_rule(const struct fail_rule *fail, size_t size)
{
    if (!fail->is_set || size < fail->least_size)
        return false;
    uint64_t number = __atomic_add_fetch(&heap.request_count, 1, __ATOMIC_RELAXED);
    bool has_number_rule = fail->nth || fail->every || fail->probability;
    return !has_number_rule || number == fail->nth || (fail->every && number % fail->every == 0) ||
           (fail->probability && draw(fail->seed, number) >> 32 < fail->probability);
}

bool heap_allows(size_t size)
{
    if (!heap.is_started)
        heap_start();
    return size <= PTRDIFF_MAX && !is_refused_by_rule(&heap.options.fail, size);
}

enum kind { PLAIN, ZEROED, ALIGNED };

/* So far ahead of the blocks the arena is poisoned: a shadow for all of it would be too large. */
#define POISONED_AHEAD ((size_t)1 << 20)

/* Keeps what lies ahead of the highest block poisoned, as holes are; the lock is held. */
static void poison_ahead(struct shard *shard, unsigned char *end)
{
    if (end + POISONED_AHEAD / 2 <= shard->poisoned_end)
        return;
    unsigned char *limit = end + POISONED_AHEAD;
    unsigned char *shard_end = shard->range.start + shard->range.size;
    limit = limit > shard_end ? shard_end : limit;
    annotate_forbid(heap.watchers, shard->poisoned_end, (size_t)(limit - shard->poisoned_end));
    shard->poisoned_end = limit;
}

static bool allow_used(void *context, const struct ffalloc_block *block)
{
    (void)context;
    struct ffalloc_block asked = *block;
    if (asked.is_used && !guards_read(&asked))
        annotate_alloc(heap.watchers, asked.address, asked.size, false);
    return true;
}

void heap_start_asan(void)
{
    heap.watchers.asan = annotate_has_asan();
    if (!heap.watchers.asan || heap.shard_count == 0)
        return;
    struct ffalloc_marks marks;
    struct shard *shard = &heap.shards[0];
    ffalloc_marks(shard->pool, &marks);
    poison_ahead(shard, (unsigned char *)marks.blocks + marks.high_water_size);
    ffalloc_walk(shard->pool, allow_used, NULL);
    if (__lsan_register_root_region)
        __lsan_register_root_region(marks.blocks, marks.usable_size);
}

static void *serve_zeroed(struct shard *shard, size_t size)
{
    if (size < CLEAR_BY_PURGE)
        return ffalloc_calloc(shard->pool, 1, size);
    struct ffalloc_marks before;
    ffalloc_marks(shard->pool, &before);
    unsigned char *block = ffalloc_malloc(shard->pool, size);
    if (block)
        heap_clear(block, size, (unsigned char *)before.blocks + before.high_water_size);
    return block;
}

static void *serve_from(struct shard *shard, enum kind kind, size_t alignment, size_t size)
{
    void *block = NULL;
    heap_lock(shard);
    if (heap_is_ready(shard, shard == heap_home ? 0 : size)) {
        if (heap.guards.is_on)
            block = guards_place(shard, alignment, size, kind == ZEROED);
        else if (kind == PLAIN)
            block = ffalloc_malloc(shard->pool, size);
        else if (kind == ZEROED)
            block = serve_zeroed(shard, size);
        else
            block = ffalloc_aligned_alloc(shard->pool, alignment, size);
        if (block)
            heap_note_large(block, size);
        if (heap.watchers.asan && block)
            poison_ahead(shard, (unsigned char *)block + size);
        heap_check(shard);
    }
    heap_unlock(shard);
    return block;
}

static void *serve(enum kind kind, size_t alignment, size_t size)
{
    if (heap.shard_count == 0)
        return NULL;
    size_t first = (size_t)(heap_find_home() - heap.shards);
    void *block = sampling.size > 0 ? sample_place(alignment, size) : NULL;
    const char *call = heap_call;
    heap_call = "malloc"; /* heap_on_out_of_memory leaves the rest to this loop */
    for (size_t i = 0; i < heap.shard_count && !block; i++)
        block = serve_from(&heap.shards[(first + i) % heap.shard_count], kind, alignment, size);
    heap_call = call;
    return block;
}

void *heap_malloc(size_t size)
{
    return serve(PLAIN, 0, size);
}

void *heap_calloc(size_t size)
{
    return serve(ZEROED, 0, size);
}

void *heap_aligned_alloc(size_t alignment, size_t size)
{
    return serve(ALIGNED, alignment, size);
}

/* The first failure is told also where a pool was asked for, or the command runs the program: what
 * such a run shows is not the whole of it, and it may well crash of that before it can report. */
static bool is_failure_told(uint64_t failed_count)
{
    const struct options *options = &heap.options;
    bool is_first_told = options->verbosity > 0 ||
                         (!options->is_silent && (options->is_from_command || options->pool_size));
    return options->aborts_on_fail || options->verbosity > 1 ||
           (failed_count == 1 && is_first_told);
}

void *heap_refuse(const char *call, size_t size)
{
    uint64_t failed_count = __atomic_add_fetch(&heap.failed_count, 1, __ATOMIC_RELAXED);
    if (is_failure_told(failed_count)) {
        struct ffalloc_stats stats;
        heap_stats(&stats);
        heap_message("out of memory: %s(%zu) failed: %zu bytes free in %zu hole%s, largest %zu",
                     call, size, stats.free_size, stats.hole_count,
                     stats.hole_count == 1 ? "" : "s", stats.largest_hole_size);
    }
    if (heap.options.aborts_on_fail)
        abort();
    errno = ENOMEM;
    return NULL;
}

void *heap_on_out_of_memory(struct ffalloc_pool *pool, size_t size, size_t alignment)
{
    (void)pool;
    (void)alignment;
    bool is_calloc = heap_call == heap_calloc_name; /* which then clears the block */
    if ((heap_call && !is_calloc) || !heap_is_plain_and_single())
        return NULL;
    void *block = heap.shard_count > 1 && heap_allows(size) ? heap_malloc(size) : NULL;
    return block ? block : heap_refuse(is_calloc ? heap_calloc_name : "malloc", size);
}

/* Blocks -------------------------------------------------------------------------------- */

/* The shard that owns a pointer that a program handed in; NULL after telling it is foreign. */
static struct shard *owner_of(const void *block)
{
    if (!heap.is_started)
        heap_start();
    struct shard *shard = heap_shard_of(block);
    if (shard && __atomic_load_n(&shard->pool, __ATOMIC_ACQUIRE))
        return shard;
    heap_report_foreign(block);
    return NULL;
}

void heap_empty_inbox(struct shard *shard)
{
    const char *call = heap_call;
    heap_call = NULL; /* what is wrong with one of these is a free */
    void *block;
    while ((block = inbox_next(&shard->inbox)) != NULL) {
        inbox_drop(&shard->inbox);
        ffalloc_free(shard->pool, block);
        heap_note_freed(shard);
    }
    heap_call = call;
}

bool heap_resize(void *block, size_t size)
{
    if (sample_has(block))
        return false;
    struct shard *shard = owner_of(block);
    if (!shard)
        return false;
    heap_lock(shard);
    bool is_done = heap.guards.is_on ? guards_resize(shard, block, size)
                                     : ffalloc_resize(shard->pool, block, size);
    if (is_done)
        heap_note_large(block, size);
    heap_check(shard);
    heap_unlock_and_look(shard);
    return is_done;
}

static bool is_released(struct shard *shard, void *block)
{
    size_t size = ffalloc_release(shard->pool, block);
    if (heap.watchers.asan && size > 0)
        annotate_forbid(heap.watchers, block, size);
    return size > 0;
}

bool heap_free(void *block)
{
    if (sample_has(block))
        return sample_free(block);
    struct shard *shard = owner_of(block);
    if (!shard)
        return false;
    heap_lock(shard);
    bool is_done = heap.guards.is_on ? guards_free(shard, block) : is_released(shard, block);
    large_drop(&heap.large, heap_offset_of(block));
    heap_check(shard);
    heap_unlock_and_look(shard);
    return is_done;
}

size_t heap_usable_size(void *block)
{
    if (sample_has(block))
        return sample_usable_size(block);
    struct shard *shard = owner_of(block);
    if (!shard)
        return HEAP_NO_BLOCK;
    heap_lock(shard);
    size_t size =
        heap.guards.is_on ? guards_asked(shard, block) : ffalloc_usable_size(shard->pool, block);
    heap_unlock(shard);
    return size == 0 && !heap.guards.is_on ? HEAP_NO_BLOCK : size;
}
