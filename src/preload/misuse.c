/* SPDX-License-Identifier: MIT */
/*
 * What a wrong pointer, or a damaged pool, is told as: one line that names the kind, the address
 * and what is there.
 *
 * It is told with no lock held: whoever reads the line may be a thread of this process that
 * allocates first, and a handler of SIGABRT may allocate. What is found out under a lock is kept,
 * the locks are given back for as long as it takes to tell, and the call then ends as one that
 * failed.
 */
#include <stdlib.h>

#include "describe.h"
#include "heap.h"
#include "recording.h"

struct locks misuse_give_locks(struct shard *shard)
{
    struct locks locks = {shard && shard->lock.state != 0 ? shard : NULL, record_is_locked()};
    if (locks.shard)
        lock_give(&shard->lock);
    if (locks.has_recorder)
        record_unlock();
    return locks;
}

void misuse_take_locks(struct locks locks)
{
    if (locks.has_recorder)
        record_lock();
    if (locks.shard)
        heap_take(locks.shard);
}

void misuse_end_or_go_on(void)
{
    if (heap.has_abort_on_error)
        abort();
}

static const char *call_name(void)
{
    return heap_call ? heap_call : "free";
}

/* The hole may have grown since, and begin before the address. */
static void tell_double_free(const void *address, const struct ffalloc_block *hole)
{
    const char *call = heap_call ? heap_call : "double free";
    const char *of = heap_call ? " of freed memory at" : " of";
    const char *in = address == hole->address ? "" : "in ";
    heap_message("%s%s %p, %sa hole of %zu bytes since", call, of, address, in, hole->size);
}

static void tell_foreign(const void *address)
{
    heap_message("%s of %p, which is not a block of this heap", call_name(), address);
}

/* A pointer to the middle of a block, or to its guard. */
static void tell_interior(const void *address, const struct ffalloc_block *block, bool is_waiting)
{
    size_t inside = (size_t)((const char *)address - (char *)block->address);
    bool is_after = inside >= block->size;
    heap_message("%s of %p, which is %zu bytes %s a %sblock of %zu bytes at %p", call_name(),
                 address, is_after ? inside - block->size : inside, is_after ? "after" : "inside",
                 is_waiting ? "freed " : "", block->size, block->address);
}

/* `found` is what lies there, or NULL. */
static void tell_wrong_pointer(const void *address, const struct ffalloc_block *found,
                               bool is_waiting)
{
    if (!found)
        tell_foreign(address);
    else if (found->is_used)
        tell_interior(address, found, is_waiting);
    else
        tell_double_free(address, found);
}

void heap_on_error(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    struct ffalloc_block block;
    if (kind == FFALLOC_FOREIGN_POINTER && pool == heap.shards[0].pool &&
        heap_shard_of(address) != &heap.shards[0]) {
        heap_free_elsewhere((void *)(uintptr_t)address);
        return;
    }
    bool is_found = kind != FFALLOC_DAMAGED && ffalloc_find(pool, address, &block);
    bool is_waiting = is_found && guards_read(&block);
    struct locks locks = misuse_give_locks(heap_shard_of(pool));
    if (kind == FFALLOC_DAMAGED)
        heap_message("damaged metadata: the index has a hole at %p, the map has not", address);
    else
        tell_wrong_pointer(address, is_found ? &block : NULL, is_waiting);
    misuse_end_or_go_on();
    misuse_take_locks(locks);
}

void heap_report_foreign(const void *address)
{
    struct locks locks = misuse_give_locks(NULL);
    tell_foreign(address);
    misuse_end_or_go_on();
    misuse_take_locks(locks);
}

void heap_check(struct shard *shard)
{
    uint64_t every = heap.options.check_every;
    struct ffalloc_fault fault;
    if (every == 0 || __atomic_add_fetch(&heap.call_count, 1, __ATOMIC_RELAXED) % every != 0)
        return;
    if (ffalloc_check(shard->pool, &fault)) {
        guards_check(shard, "FFALLOC_CHECK");
        return;
    }
    struct locks locks = misuse_give_locks(shard);
    heap_message("damaged metadata: rule %s does not hold at offset %zu", fault.rule, fault.offset);
    misuse_end_or_go_on();
    misuse_take_locks(locks);
}

void heap_report_size(const char *call, const void *block, size_t size, size_t block_size)
{
    heap_message("%s of %p with a size of %zu bytes, which is a block of %zu bytes", call, block,
                 size, block_size);
    misuse_end_or_go_on();
}

void heap_check_size(const char *call, const void *block, size_t size)
{
    struct shard *shard = heap_shard_of(block);
    struct ffalloc_block found;
    if (!shard || !shard->pool)
        return;
    heap_lock(shard);
    bool is_block = ffalloc_find(shard->pool, block, &found) && found.is_used &&
                    found.address == block && !guards_read(&found);
    heap_unlock(shard);
    if (is_block &&
        !(heap.guards.has_guards ? found.size == size : heap_is_size_of(found.size, size)))
        heap_report_size(call, block, size, found.size);
}

/* A block that waits in the quarantine is freed memory. */
static struct description describe_freed(const struct ffalloc_block *block, const void *address)
{
    size_t inside = (size_t)((const char *)address - (const char *)block->address);
    bool is_after = inside >= block->size;
    struct ffalloc_block hole = {block->address, block->size, false};
    return (struct description){hole, block->size, is_after ? inside - block->size : inside,
                                is_after};
}

/* AddressSanitizer calls this before its own report, which knows nothing of our blocks. */
void __asan_on_error(void);
__attribute__((visibility("default"))) void __asan_on_error(void)
{
    void *address = __asan_get_report_address ? __asan_get_report_address() : NULL;
    struct shard *shard = heap_shard_of(address);
    struct description description;
    if (!heap.watchers.asan || !shard || !shard->pool ||
        !describe(shard->pool, heap.watchers, address, &description))
        return;
    if (guards_read(&description.block))
        description = describe_freed(&description.block, address);
    heap_message(DESCRIBE_FORMAT, DESCRIBE_ARGUMENTS(address, description));
}
