/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include <string.h>

#include "damage.h"
#include "recording.h"
#include "sample_fault.h"

struct sampling sampling;
__thread struct caller sample_caller __attribute__((tls_model("initial-exec")));
static __thread uint64_t draws __attribute__((tls_model("initial-exec")));
static __thread bool is_sample_due __attribute__((tls_model("initial-exec")));

/* Requests of this thread until the next sampled one, that included; 0: not drawn yet. */
static __thread uint32_t requests_left __attribute__((tls_model("initial-exec")));

static struct lock lock; /* of all that follows */
static struct slot *slots;
static uint16_t waiting[SAMPLE_SLOTS]; /* a ring of those in no use, in the order of their frees */
static unsigned first_waiting;
static unsigned waiting_count;
static unsigned char pattern; /* of what of a block's pages was not asked for */

/* Where things lie ------------------------------------------------------------------------- */

static size_t data_size(void)
{
    return SAMPLE_SLOT_PAGES * heap.page_size;
}

static size_t slot_size(void)
{
    return data_size() + heap.page_size;
}

static unsigned char *data_of(const struct slot *slot)
{
    return sampling.start + heap.page_size + (size_t)(slot - slots) * slot_size();
}

static unsigned char *page_of(const void *address)
{
    return (unsigned char *)((uintptr_t)address & ~(heap.page_size - 1));
}

/* Half of the page between two slots is the left one's. */
struct slot *sample_slot_of(const void *address)
{
    size_t offset = (uintptr_t)address - (uintptr_t)sampling.start;
    size_t half = heap.page_size / 2;
    size_t number = offset < half ? 0 : (offset - half) / slot_size();
    return &slots[number < SAMPLE_SLOTS ? number : SAMPLE_SLOTS - 1];
}

void sample_start(void)
{
    size_t books_size = SAMPLE_SLOTS * sizeof(struct slot);
    bool is_watched = heap.watchers.valgrind || annotate_has_asan() || annotate_has_tsan();
    if (heap.options.sample_every == 0)
        return;
    bool is_recorded = heap.options.record || heap.options.is_live; /* a trace is of pools */
    if (is_watched || is_recorded || sizeof(void *) < 8) {
        heap_message("FFALLOC_SAMPLE: nothing is sampled %s",
                     is_watched    ? "under Valgrind or a sanitizer"
                     : is_recorded ? "in a run that is or may be recorded"
                                   : "with 32-bit addresses");
        return;
    }
    books_size = (books_size + heap.page_size - 1) & -heap.page_size;
    size_t size = heap.page_size + SAMPLE_SLOTS * slot_size();
    slots = os_hold(books_size + 2 * heap.page_size); /* no access before and behind them */
    sampling.start = os_hold(size);
    if (!slots || !sampling.start || !os_allow((char *)slots + heap.page_size, books_size)) {
        heap_message("FFALLOC_SAMPLE: no memory: nothing is sampled");
        return;
    }
    slots = (struct slot *)(void *)((char *)slots + heap.page_size);
    sampling.size = size;
    sampling.every = heap.options.sample_every;
    pattern = (unsigned char)(os_secret() >> 8) | 1;
    waiting_count = SAMPLE_SLOTS;
    for (unsigned i = 0; i < SAMPLE_SLOTS; i++)
        waiting[i] = (uint16_t)i;
}

/* Requests ---------------------------------------------------------------------------------- */

/* From 1 to twice the average, all equally likely: which one comes cannot be foreseen. (xorshift64,
 * Marsaglia 2003.) */
static uint32_t draw(void)
{
    if (draws == 0)
        draws = (os_secret() ^ (uintptr_t)&draws ^ ring_ticks()) | 1;
    draws ^= draws << 13;
    draws ^= draws >> 7;
    draws ^= draws << 17;
    return (uint32_t)(1 + (draws >> 16) % (2 * sampling.every - 1));
}

void sample_choose_way(void)
{
    if (sampling.size == 0)
        return;
    heap.is_bare = false;
    if (sampling.every >= SAMPLE_LOOKS)
        heap.sampled_pool = heap.plain_pool;
    else
        heap.plain_pool = NULL;
    heap.has_sites |= !heap.sampled_pool;
    for (unsigned i = 0; i < heap.shard_count; i++)
        heap.shards[i].sample_left = draw();
}

/* Until the thread's next request; with others beside it only its own way is changed. */
static void make_due(void)
{
    is_sample_due = true;
    heap_plain_home = NULL;
    heap.has_sites = true;
    if (__libc_single_threaded)
        heap.plain_pool = NULL;
}

static void end_due(void)
{
    is_sample_due = false;
    heap.has_sites = false;
    if (!heap.plain_pool)
        heap.plain_pool = heap.sampled_pool;
    heap_set_plain_home();
}

void sample_look(struct shard *shard)
{
    if (!heap.sampled_pool)
        return;
    size_t count = ffalloc_peek_alloc_count(shard->pool) - shard->requests_seen;
    shard->requests_seen += count;
    if (count < shard->sample_left) {
        shard->sample_left -= count;
        return;
    }
    shard->sample_left = draw();
    make_due();
}

static bool is_due(void)
{
    if (heap.sampled_pool) {
        bool is_now = is_sample_due;
        end_due();
        return is_now;
    }
    if (requests_left > 1) {
        requests_left--;
        return false;
    }
    bool is_first = requests_left == 0 && sampling.every > 1;
    requests_left = draw();
    return !is_first;
}

static void note_stack(struct stack *stack)
{
    record_capture(sample_caller);
    unsigned count = record_stack.count < STACK_MOST - 1 ? record_stack.count : STACK_MOST - 1;
    stack->sites[0] = (uintptr_t)sample_caller.site;
    for (unsigned i = 0; i < count; i++)
        stack->sites[i + 1] = (uintptr_t)record_stack.frames[i];
    stack->count = count + 1;
}

/* The slot that waited longest, NULL if none does. */
static struct slot *take_slot(void)
{
    if (waiting_count == 0)
        return NULL;
    struct slot *slot = &slots[waiting[first_waiting]];
    first_waiting = (first_waiting + 1) % SAMPLE_SLOTS;
    waiting_count--;
    return slot;
}

static void leave_slot(struct slot *slot)
{
    waiting[(first_waiting + waiting_count++) % SAMPLE_SLOTS] = (uint16_t)(slot - slots);
}

static void surround(const struct slot *slot)
{
    unsigned char *start = page_of(slot->block);
    unsigned char *end = slot->block + slot->size;
    memset(start, pattern, (size_t)(slot->block - start));
    memset(slot->block, 0, slot->size);
    memset(end, pattern, (size_t)(data_of(slot) + data_size() - end));
}

static bool opens(struct slot *slot, size_t alignment, size_t size, const struct stack *stack)
{
    unsigned char *end = data_of(slot) + data_size();
    unsigned char *block = (unsigned char *)(((uintptr_t)end - size) & -alignment);
    if (!os_set_access(page_of(block), (size_t)(end - page_of(block)), true))
        return false;
    *slot = (struct slot){.block = block, .size = size, .asked = *stack, .is_live = true};
    surround(slot);
    return true;
}

void *sample_place(size_t alignment, size_t size)
{
    alignment = alignment < heap.options.granule ? heap.options.granule : alignment;
    if (!is_due() || alignment > heap.page_size || size > data_size())
        return NULL;
    struct stack stack;
    size += size == 0;
    note_stack(&stack);
    lock_take(&lock);
    struct slot *slot = take_slot();
    if (slot && !opens(slot, alignment, size, &stack)) {
        leave_slot(slot);
        slot = NULL;
    }
    sampling.count += slot != NULL;
    lock_give(&lock);
    return slot ? slot->block : NULL;
}

/* Blocks ------------------------------------------------------------------------------------ */

/* The first byte from `start` to `end` that was overwritten, NULL if none was. */
static unsigned char *overwritten(unsigned char *start, unsigned char *end)
{
    size_t size = (size_t)(end - start);
    if (size == 0 || (*start == pattern && memcmp(start, start + 1, size - 1) == 0))
        return NULL;
    while (*start == pattern)
        start++;
    return start;
}

/* Whether its pages have something that was not there; sets where. */
static bool is_damaged(const struct slot *slot, unsigned char **where)
{
    unsigned char *end = slot->block + slot->size;
    *where = overwritten(end, data_of(slot) + data_size());
    if (!*where)
        *where = overwritten(page_of(slot->block), slot->block);
    return *where;
}

bool sample_free(unsigned char *block)
{
    struct stack stack;
    unsigned char *where = NULL;
    note_stack(&stack);
    lock_take(&lock);
    struct slot *slot = sample_slot_of(block);
    struct slot before = *slot;
    bool is_block = slot->is_live && slot->block == block;
    if (is_block) {
        before.is_damaged = is_damaged(slot, &where);
        before.byte = where ? *where : 0;
        slot->is_live = false;
        slot->freed = stack;
        os_set_access(page_of(block), (size_t)(data_of(slot) + data_size() - page_of(block)),
                      false);
        leave_slot(slot);
    }
    lock_give(&lock);
    if (!is_block)
        sample_tell_wrong(&before, block);
    else if (before.is_damaged)
        sample_tell_damage(&before, where);
    return is_block;
}

size_t sample_usable_size(unsigned char *block)
{
    lock_take(&lock);
    struct slot slot = *sample_slot_of(block);
    lock_give(&lock);
    if (slot.is_live && slot.block == block)
        return slot.size;
    sample_tell_wrong(&slot, block);
    return HEAP_NO_BLOCK;
}

void sample_prepare_fork(void)
{
    lock_take(&lock);
}

void sample_end_fork(void)
{
    lock_give(&lock);
}
