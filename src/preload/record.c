/* SPDX-License-Identifier: MIT */
/*
 * The recorder's state lies in a page that a forked child finds empty: it then begins a ring of
 * its own, and never writes to its parent's, which it has not mapped.
 */
#include <stdio.h>
#include <string.h>

#include "lock.h"
#include "recording_state.h"

/* How often to look for room in a full ring before the recorder is taken for dead: 10 s. */
#define NAP_MICROSECONDS 200
#define NAPS_MOST        50000

static __thread uint16_t thread_number __attribute__((tls_model("initial-exec"))); /* from 1 */

static __thread bool is_locked __attribute__((tls_model("initial-exec")));

bool record_is_locked(void)
{
    return is_locked;
}

void record_lock(void)
{
    if (__libc_single_threaded)
        return;
    lock_take(&heap.recorder->lock);
    is_locked = true;
}

void record_unlock(void)
{
    bool is_gone = heap.recorder->is_gone;
    heap.recorder->is_gone = false;
    if (is_locked) {
        is_locked = false;
        lock_give(&heap.recorder->lock);
    }
    if (is_gone)
        heap_message("the recorder is gone: recording ends here");
}

/* Waits until the ring has room for so many words; false if recording has ended. */
static bool wait_for_room(struct recorder *recorder, uint64_t count)
{
    struct ring *ring = recorder->ring;
    uint64_t beat = 0;
    for (unsigned naps = 0; naps < NAPS_MOST; naps++) {
        recorder->tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        if (recorder->head + count - recorder->tail <= RING_WORDS)
            return true;
        if (__atomic_load_n(&ring->is_unwanted, __ATOMIC_RELAXED) || live_is_asked(recorder))
            break;
        uint64_t now = __atomic_load_n(&ring->reader_beat, __ATOMIC_RELAXED);
        naps = now == beat ? naps : 0;
        beat = now;
        os_nap(NAP_MICROSECONDS);
    }
    recorder->is_gone = !ring->is_unwanted;
    recorder->is_off = true;
    return false;
}

/* Makes sure that the ring has room for an event, however many extra words it has. */
static inline bool has_room(struct recorder *recorder)
{
    uint64_t most = RING_EVENT_WORDS + RING_EXTRA_LIMIT;
    return __builtin_expect(recorder->head + most - recorder->tail <= RING_WORDS, 1) ||
           wait_for_room(recorder, most);
}

static inline uint64_t *word_at(struct recorder *recorder, unsigned index)
{
    return &recorder->words[(recorder->head + index) & (RING_WORDS - 1)];
}

/* Hands over an event whose words have been written. */
static inline void publish(struct recorder *recorder, unsigned extra_count)
{
    recorder->head += RING_EVENT_WORDS + extra_count;
    __atomic_store_n(&recorder->ring->head, recorder->head, __ATOMIC_RELEASE);
}

/* What is mapped now, for the names of call sites; the recorder may come too late to read it. */
static void write_maps(struct recorder *recorder)
{
    char text[RING_EXTRA_LIMIT * sizeof(uint64_t)];
    int maps = os_open_maps();
    size_t length;
    while (maps >= 0 && (length = os_read(maps, text, sizeof text)) > 0 && has_room(recorder)) {
        unsigned count = (unsigned)((length + 7) / 8);
        for (unsigned i = 0; i < count; i++)
            memcpy(word_at(recorder, RING_EVENT_WORDS + i), text + i * sizeof(uint64_t),
                   sizeof(uint64_t));
        *word_at(recorder, 0) = ring_ticks();
        *word_at(recorder, 1) = (uint64_t)count << 54 | (uint64_t)RING_MAPS << 60;
        *word_at(recorder, 2) = length;
        *word_at(recorder, 3) = 0;
        publish(recorder, count);
    }
    if (maps >= 0)
        os_close(maps);
}

void record_open_ring(struct recorder *recorder, const char *folder)
{
    char path[300];
    static unsigned parent;
    uint64_t start_ns;
    recorder->is_open = true;
    recorder->process = os_process_id();
    uint64_t start_ticks = ring_ticks();
    os_now(&start_ns);
    snprintf(path, sizeof path, "%s/%u-%llx", folder, recorder->process,
             (unsigned long long)start_ticks);
    struct ring *ring = os_share(path, RING_DATA_OFF + RING_WORDS * sizeof(uint64_t));
    if (!ring) {
        recorder->is_off = true;
        return;
    }
    struct os_start start = os_start();
    ring->process = recorder->process;
    ring->parent = recorder->control ? 0 : parent; /* else all that lives is told */
    ring->pointer_size = sizeof(void *);
    ring->page_size = (uint32_t)heap.page_size;
    ring->granule = heap.options.granule;
    ring->arena = (uintptr_t)heap.arena;
    ring->arena_size = heap.arena_size;
    struct ffalloc_marks marks;
    ffalloc_marks(heap.shards[0].pool, &marks);
    ring->blocks = (uintptr_t)marks.blocks;
    /* To the end of its range: the pool may grow up to there. */
    const struct range *range = &heap.shards[0].range;
    ring->blocks_size = (uintptr_t)range->start + range->size - ring->blocks;
    ring->pool_size = heap.options.pool_size;
    ring->start_ticks = start_ticks;
    ring->start_ns = start_ns;
    snprintf(ring->program, sizeof ring->program, "%s", start.program);
    memcpy(ring->magic, RING_MAGIC, sizeof ring->magic);
    os_announce(path);
    recorder->words = (uint64_t *)(void *)((char *)ring + RING_DATA_OFF);
    recorder->ring = ring;
    parent = recorder->process;
    write_maps(recorder);
}

/* In each process: the page of the recorder's is empty. */
static void open_recorder(struct recorder *recorder)
{
    thread_number = 0;
    live_open(recorder);
    if (!recorder->is_open)
        record_open_ring(recorder, heap.options.record);
}

void record_start(void)
{
    if ((!heap.options.record && !heap.options.is_live) || heap.shard_count == 0)
        return;
    heap.recorder = os_wiped_at_fork(sizeof(struct recorder));
    if (!heap.recorder)
        heap_message("FFALLOC_RECORD: no memory: nothing is recorded");
    else
        open_recorder(heap.recorder);
    if (heap.recorder && heap.recorder->is_off && !heap.options.is_live)
        heap_message("FFALLOC_RECORD=%s: no ring can be made there: nothing is recorded",
                     heap.options.record);
}

/* Dense numbers, from 0. */
static uint64_t thread_index(struct recorder *recorder)
{
    if (__builtin_expect(thread_number == 0, 0))
        thread_number = recorder->thread_count < UINT16_MAX ? ++recorder->thread_count : UINT16_MAX;
    return thread_number - 1;
}

static unsigned write_extra(struct recorder *recorder, const struct event *event)
{
    unsigned count = 0;
    if (event->before)
        *word_at(recorder, RING_EVENT_WORDS + count++) = (uintptr_t)event->before;
    for (unsigned i = 0; i < record_stack.count; i++)
        *word_at(recorder, RING_EVENT_WORDS + count++) = record_stack.frames[i];
    return count;
}

void record_put(struct recorder *recorder, enum ring_op op, const void *block, size_t size)
{
    if (!has_room(recorder))
        return;
    *word_at(recorder, 0) = ring_ticks();
    *word_at(recorder, 1) = (uint64_t)(uintptr_t)block | (uint64_t)op << 60;
    *word_at(recorder, 2) = size;
    *word_at(recorder, 3) = 0;
    publish(recorder, 0);
}

static void write_event(struct recorder *recorder, const struct event *event, void *site)
{
    if (!has_room(recorder))
        return;
    uint64_t now = ring_ticks();
    uint64_t count = write_extra(recorder, event);
    uint64_t log2 = event->alignment ? (unsigned)__builtin_ctzl(event->alignment) & 31 : 0;
    uint64_t size = event->size;
    size = size >> 48 ? ((uint64_t)1 << 48) - 1 : size;
    *word_at(recorder, 0) = now;
    *word_at(recorder, 1) = (uint64_t)(uintptr_t)event->block | log2 << 48 |
                            (uint64_t) !!event->before << 53 | count << 54 |
                            (uint64_t)event->op << 60;
    *word_at(recorder, 2) = size | thread_index(recorder) << 48;
    *word_at(recorder, 3) = (uintptr_t)site;
    publish(recorder, (unsigned)count);
}

void record_write_and_unlock(const struct event *event, void *site)
{
    struct recorder *recorder = heap.recorder;
    if (!recorder->is_open) /* a forked child's first call */
        open_recorder(recorder);
    if (live_is_wanted(recorder) && !recorder->is_off && event->op != RING_NOTHING)
        write_event(recorder, event, site);
    record_unlock();
}

void record_finish(void)
{
    struct recorder *recorder = heap.recorder;
    if (!recorder || !recorder->is_open)
        return;
    live_close(recorder);
    if (recorder->is_off)
        return;
    record_lock();
    write_maps(recorder);
    record_unlock();
}

void record_prepare_fork(void)
{
    if (heap.recorder)
        record_lock();
}

void record_end_fork(void)
{
    if (heap.recorder)
        record_unlock();
}
