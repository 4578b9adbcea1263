/* SPDX-License-Identifier: MIT */
/*
 * Which pool serves a call of malloc.
 *
 * There are a few *shards*, each a range of addresses in which a pool of the core grows
 * (reserve.c), with its own lock. A process with one thread uses the first and takes no lock (glibc
 * says so in __libc_single_threaded). A thread has a home shard, the one with the fewest threads
 * when it first calls; a request that its home cannot serve goes on to the next. A free goes to the
 * shard that owns the address, by way of its inbox if that is not the thread's home.
 *
 * With FFALLOC_POOL there is one shard of exactly that much memory.
 *
 * The blocks of every shard begin on a page, whatever the size of the metadata before them, so
 * that the same calls give the same offsets in shards of any size, aligned requests included.
 */
#ifndef FFALLOC_PRELOAD_HEAP_H
#define FFALLOC_PRELOAD_HEAP_H

#include <stdint.h>
#include <sys/single_threaded.h>

#include "../peek/peek.h"
#include "annotate.h"
#include "core_choices.h"
#include "ffalloc/ffalloc.h"
#include "guards.h"
#include "inbox.h"
#include "lock.h"
#include "notes.h"
#include "options.h"
#include "output.h"
#include "sample.h"

/* Of a name that programs call. */
#define EXPORT __attribute__((visibility("default")))

/* The library's own malloc and free, whatever the program calls by these names. */
extern void *malloc_here(size_t size) __attribute__((visibility("hidden")));
extern void free_here(void *block) __attribute__((visibility("hidden")));

#define SHARD_LIMIT 16
#define WINDOWS     256

/* Calls of free after which it is looked at how much is still in use; each large block counts as
 * that many (core_choices.h). */
#define FREES_TO_LOOK 64u

/* Addresses. */
struct range {
    unsigned char *start;
    size_t size;
};

struct shard {
    struct lock lock;
    unsigned turn;               /* how often the lock was taken: see lock.h */
    unsigned frees_to_look;      /* calls of free until heap_look; 0: 2^32 */
    struct ffalloc_pool *pool;   /* NULL until first used */
    struct range range;          /* in which the pool lies, metadata included */
    size_t freed_size;           /* bytes ever freed, as of the last look that counted (purge.c) */
    size_t purged_size;          /* bytes ever freed, when memory was last given back */
    size_t high_water_size;      /* bytes, then */
    unsigned char *poisoned_end; /* AddressSanitizer: poisoned up to here, but for live blocks */
    size_t sample_left;          /* requests until one is sampled, as of the last look */
    size_t requests_seen;        /* then */
    struct inbox inbox;          /* blocks freed by threads with another home */
} __attribute__((aligned(128)));

/* Pools begin at the same remainder of every alignment up to this, in every run: then blocks of
 * such alignments lie at the same offsets. */
#define LARGEST_FIXED_ALIGNMENT ((size_t)2 << 20)

struct heap {
    bool is_started;
    bool is_bare; /* nothing to do for a call but to serve it from a pool, and to record it */
    struct watchers watchers;
    unsigned shard_count;
    bool is_growing;      /* the pools open what they need; else all is mapped from the start */
    unsigned char *arena; /* all ranges lie in it, and in whole windows of it */
    size_t arena_size;    /* bytes */
    unsigned window_log2; /* bytes */
    struct range ranges[SHARD_LIMIT]; /* of shards, with a pool or without */
    /* Of each window, the shard whose range it is in; no shard's number if it is in none. */
    uint8_t owners[WINDOWS];
    size_t opened_size; /* bytes that pools which grow have mapped, metadata included; atomic */
    size_t page_size;
    bool has_large_alignment; /* a request asked for one above LARGEST_FIXED_ALIGNMENT */
    struct options options;
    struct output standard_error;
    struct output report; /* at exit, by FFALLOC_LOG's number or the standard one; where it has no
                             path */
    bool has_abort_on_error;
    _Alignas(8) uint64_t request_count; /* counted only for FFALLOC_FAIL; atomic, as the next */
    uint64_t call_count;                /* counted only for FFALLOC_CHECK */
    uint64_t failed_count;
    size_t most_used; /* bytes, by all shards, of the looks since less was in use; atomic */
    struct recorder *recorder;         /* NULL: nothing is recorded (recording.h) */
    struct ffalloc_pool *plain_pool;   /* of the first shard; NULL if not bare, or recorded */
    struct ffalloc_pool *sampled_pool; /* what that is but while a sample is due (sample.h) */
    struct shard shards[SHARD_LIMIT];
    struct large large; /* by offsets in the arena */
    struct guards guards;
    bool has_own_forms; /* of C++'s new and delete: the program has replaced none */
    bool has_sites;     /* the call sites are wanted, by the recorder, guards or samples */
};

extern struct heap heap __attribute__((visibility("hidden")));

/* The thread's home, NULL before its first call that needs one. */
extern __thread struct shard *heap_home __attribute__((tls_model("initial-exec")));

/* The thread's home if nothing is to be done for a call but to serve it from there with the lock
 * held; else NULL, as it is before the thread's first call. */
extern __thread struct shard *heap_plain_home __attribute__((tls_model("initial-exec")));

/* What is called, for messages, where that is not told by what is wrong; NULL, or
 * heap_calloc_name: malloc, free or calloc, by the usual case, in which the pool's hooks serve what
 * the first shard cannot (heap_on_error, heap_on_out_of_memory). */
extern __thread const char *heap_call __attribute__((tls_model("initial-exec")));
extern const char heap_calloc_name[] __attribute__((visibility("hidden")));

/* Reads the environment and makes the first pool, at the first call of the process. */
void heap_start(void);

/* Whether this request may be served: it is not absurd, and FFALLOC_FAIL does not refuse it. */
bool heap_allows(size_t size);

/* Serve a request from the thread's home or a shard after it; NULL if none can. The alignment
 * is a power of two; 0: the granule's. */
void *heap_malloc(size_t size);
void *heap_calloc(size_t size);
void *heap_aligned_alloc(size_t alignment, size_t size);

/* Each makes the core's call of that name in the shard that owns the block. What is no block is
 * told of, and the answer is false or HEAP_NO_BLOCK. With guards the usable size is what was asked
 * for. */
#define HEAP_NO_BLOCK SIZE_MAX
bool heap_resize(void *block, size_t size);
bool heap_free(void *block);
size_t heap_usable_size(void *block);

/* Notes a refused request and sets errno; returns NULL. */
void *heap_refuse(const char *call, size_t size);

/* The shard in whose range an address lies, NULL if in none. */
static inline struct shard *heap_shard_of(const void *address)
{
    size_t offset = (uintptr_t)address - (uintptr_t)heap.arena;
    if (offset >= heap.arena_size)
        return NULL;
    unsigned shard = heap.owners[offset >> heap.window_log2];
    return shard < heap.shard_count ? &heap.shards[shard] : NULL;
}

/* Frees what waits in the shard's inbox, the lock being held. */
void heap_empty_inbox(struct shard *shard);

static inline void heap_see_to_inbox(struct shard *shard)
{
    if (__builtin_expect(inbox_next(&shard->inbox) != NULL, 0))
        heap_empty_inbox(shard);
}

/* With several threads. A turn begins whenever the lock is taken, for heap_peek. */
static inline void heap_take(struct shard *shard)
{
    lock_take(&shard->lock);
    turn_begin(&shard->turn);
}

static inline void heap_lock_surely(struct shard *shard)
{
    heap_take(shard);
    heap_see_to_inbox(shard);
}

static inline void heap_lock(struct shard *shard)
{
    if (!__libc_single_threaded)
        heap_lock_surely(shard);
    else
        heap_see_to_inbox(shard);
}

/* A thread can neither be started nor end while the caller holds a lock, but the first one can
 * be started between two calls: the lock is given back only if it was taken. */
static inline void heap_unlock(struct shard *shard)
{
    if (shard->lock.state != 0)
        lock_give(&shard->lock);
}

/* Gives memory of holes back if it is time to (purge.c); the caller holds no lock. */
void heap_look(struct shard *shard);

/* A thread that was at home in the shard has gone. */
void heap_look_at_left(struct shard *shard);

/* Zeroes a block, of which nothing from `touched_end` on was ever touched, by pages. */
void heap_clear(unsigned char *block, size_t size, unsigned char *touched_end);

/* Gives back all whole pages in holes of all shards; returns whether there were any. */
bool heap_trim(void);

/* Counts a call of free; returns whether it is time to look. */
static inline bool heap_is_look_due(struct shard *shard)
{
    return __builtin_expect(--shard->frees_to_look == 0, 0);
}

/* Gives the lock back after a call of free. */
static inline void heap_unlock_and_look(struct shard *shard)
{
    bool is_due = heap_is_look_due(shard);
    heap_unlock(shard);
    if (is_due)
        heap_look(shard);
}

/* Counts a call of free after which there will be no look. */
static inline void heap_note_freed(struct shard *shard)
{
    shard->frees_to_look -= shard->frees_to_look > 1;
}

/*
 * The usual cases: nothing to do but to serve the call. These are the first lines of malloc and
 * free; whatever they decline, by NULL or false with nothing done, takes the long way.
 */

/* Of a request: no block may be larger, and with 64-bit addresses no pool can hold one that is. */
static inline bool heap_is_size(size_t size)
{
    return sizeof(size_t) == 8 || __builtin_expect(size <= PTRDIFF_MAX, 1);
}

static inline bool heap_is_plain_and_single(void)
{
    return __builtin_expect(heap.plain_pool && __libc_single_threaded, 1);
}

/* A block this large is cleared by giving its pages back: those that are never touched cost
 * nothing, and the others no more than clearing them would. */
#define CLEAR_BY_PURGE ((size_t)2 << 20)

/* What the home could not serve, nothing can. */
static inline bool heap_is_plain_and_one_pool(void)
{
    return heap.plain_pool && heap.shard_count == 1;
}

static inline bool heap_is_recorded_and_single(void)
{
    return heap.is_bare && !heap.plain_pool && __libc_single_threaded;
}

/* A block that the first shard of a process with one thread owns. */
static inline bool heap_is_in_first(const void *block)
{
    size_t offset = (uintptr_t)block - (uintptr_t)heap.ranges[0].start;
    return offset < heap.ranges[0].size;
}

/* A block that a thread's home owns. */
static inline bool heap_is_in_home(const struct shard *home, const void *block)
{
    size_t offset = (uintptr_t)block - (uintptr_t)home->range.start;
    return __builtin_expect(offset < home->range.size, 1);
}

static inline size_t heap_offset_of(const void *block)
{
    return (uintptr_t)block - (uintptr_t)heap.arena;
}

/* Of a block that was placed, or has got another size. With one pool nothing ever waits. */
static inline void heap_note_large(const void *block, size_t size)
{
    if (__builtin_expect(size >= LEAST_LARGE, 0) && heap.shard_count > 1)
        large_add(&heap.large, heap_offset_of(block));
}

/* Whether a block may wait until its shard is next locked: somebody is at home there, and it is not
 * large. */
static inline bool heap_may_wait(const struct shard *shard, const void *block)
{
    return __atomic_load_n(&shard->inbox.reader_count, __ATOMIC_RELAXED) > 0 &&
           !large_has(&heap.large, heap_offset_of(block));
}

/* To the inbox of another shard. */
static inline bool heap_leave_to_owner(void *block)
{
    struct shard *shard = heap_shard_of(block);
    return heap.plain_pool && shard && shard != heap_home && heap_may_wait(shard, block) &&
           inbox_put(&shard->inbox, block);
}

/* The size of a live block as its shard's map has it, without the lock; 0 if it cannot be told so.
 * The bits of such a block do not change, but its end is told by what follows it. */
static inline size_t heap_peek(const struct shard *shard, const void *block)
{
    const struct ffalloc_pool *pool = __atomic_load_n(&shard->pool, __ATOMIC_ACQUIRE);
    unsigned turn;
    if (!pool || !turn_is_none(&shard->lock, &shard->turn, &turn) || inbox_next(&shard->inbox))
        return 0;
    size_t size = ffalloc_peek_usable_size(pool, block);
    return turn_is_still(&shard->turn, turn) ? size : 0;
}

/* reserve.c: finds ranges for the shards and makes the first one's pool; false if nothing can be
 * had.
 */
bool heap_reserve(void);

/* A pool's hook: maps the pieces. */
bool heap_on_open(struct ffalloc_pool *pool, const struct ffalloc_piece *pieces, unsigned count);

/* Whether the system would give so many bytes in a range where nothing is yet. */
bool heap_has_room(const struct range *range, size_t size);

/* Makes the shard's pool if it has none yet, its lock being held; false if it cannot, or if it is
 * to be made for a request of `size` bytes and could not serve that. */
bool heap_is_ready(struct shard *shard, size_t size);

/* cxx.c: which forms of C++'s new and delete the program has replaced; once the loader is done. */
void heap_start_cxx(void);

/* threads.c: prepares thread homes and fork; called once libc can. */
void heap_start_threads(void);

/* fork.c: registers the fork handlers, unless that has been done. */
void heap_start_fork(void);

/* Sets heap_plain_home by what it follows from. */
static inline void heap_set_plain_home(void)
{
    heap_plain_home = heap.plain_pool ? heap_home : NULL;
}

/* The shard from which the calling thread is served first. */
struct shard *heap_find_home(void);

/* AddressSanitizer's shadow is ready: from here on it knows the blocks, those before included. */
void heap_start_asan(void);

/* What the usual case of malloc and calloc returns where the first pool cannot serve it. */
void *heap_on_out_of_memory(struct ffalloc_pool *pool, size_t size, size_t alignment);

/* Frees a block of another shard than the home, or reports it. */
void heap_free_elsewhere(void *block);

/* misuse.c: one line about a wrong pointer, then abort or go on. A pointer that the first shard is
 * asked to free and is not in its range comes from free's usual case, and may be another's. */
void heap_on_error(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind);
void heap_report_foreign(const void *address);

/* The locks of the calling thread's call, given back for as long as something is told. */
struct locks {
    struct shard *shard; /* NULL: of none */
    bool has_recorder;
};

/* `shard` is the one that the call is in, or NULL. */
struct locks misuse_give_locks(struct shard *shard);
void misuse_take_locks(struct locks locks);

/* After a line about something wrong. */
void misuse_end_or_go_on(void);

/* Tells if a live block has another size than the caller says: with guards than was asked for, else
 * than that makes in granules. */
void heap_check_size(const char *call, const void *block, size_t size);

/* Whether a block of that size can be one that `asked` bytes were asked for, without guards. */
static inline bool heap_is_size_of(size_t block_size, size_t asked)
{
    size_t mask = heap.options.granule - 1;
    return block_size == ((asked + !asked + mask) & ~mask);
}

/* The caller has said another size than that of the block. */
void heap_report_size(const char *call, const void *block, size_t size, size_t block_size);

/* Frees a block that is said to have a size; tells if it has another. */
void heap_free_sized(const char *call, void *block, size_t size);

/* FFALLOC_CHECK: counts a call, and verifies the shard's invariants if it is one of the Nth. */
void heap_check(struct shard *shard);

/* message.c: one line on standard error. */
void heap_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* report.c */
void heap_open_report(void);
void heap_report(void);

/* The report as text, for malloc_stats; its size in bytes is at most REPORT_SIZE. */
#define REPORT_SIZE 2048
void heap_report_text(char *text);

/* stats.c: adds up the statistics of all shards in use; largest and smallest over all. Pools that
 * grow are taken to end at their high-water marks. Returns how many shards there are. */
unsigned heap_stats(struct ffalloc_stats *total);

#endif
