/* SPDX-License-Identifier: MIT */
/* What a wrong pointer, or a damaged pool, is told as: one line that names the kind, the address
 * and what is there. */
#include <stdlib.h>

#include "describe.h"
#include "heap.h"

static void end_or_go_on(void)
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

void heap_on_error(struct ffalloc_pool *pool, const void *address, enum ffalloc_error kind)
{
    struct ffalloc_block block;
    if (kind == FFALLOC_FOREIGN_POINTER && pool == heap.plain_pool &&
        heap_shard_of(address) != &heap.shards[0]) {
        heap_free_elsewhere((void *)(uintptr_t)address);
        return;
    }
    if (kind == FFALLOC_DAMAGED || !ffalloc_find(pool, address, &block)) {
        if (kind == FFALLOC_DAMAGED)
            heap_message("damaged metadata: the index has a hole at %p, the map has not", address);
        else
            heap_message("%s of %p, which is not a block of this heap", call_name(), address);
    } else if (block.is_used) {
        heap_message("%s of %p, which is %zu bytes inside a block of %zu bytes at %p", call_name(),
                     address, (size_t)((const char *)address - (char *)block.address), block.size,
                     block.address);
    } else {
        tell_double_free(address, &block);
    }
    end_or_go_on();
}

void heap_report_foreign(const void *address)
{
    heap_message("%s of %p, which is not a block of this heap", call_name(), address);
    end_or_go_on();
}

void heap_check(struct shard *shard)
{
    uint64_t every = heap.options.check_every;
    struct ffalloc_fault fault;
    if (every == 0 || __atomic_add_fetch(&heap.call_count, 1, __ATOMIC_RELAXED) % every != 0)
        return;
    if (ffalloc_check(shard->pool, &fault))
        return;
    heap_message("damaged metadata: rule %s does not hold at offset %zu", fault.rule, fault.offset);
    end_or_go_on();
}

void heap_check_size(const char *call, const void *block, size_t size)
{
    struct shard *shard = heap_shard_of(block);
    struct ffalloc_block found;
    if (heap.options.check_every == 0 || !shard || !shard->pool)
        return;
    heap_lock(shard);
    bool is_block =
        ffalloc_find(shard->pool, block, &found) && found.is_used && found.address == block;
    heap_unlock(shard);
    size_t mask = heap.options.granule - 1;
    if (!is_block || found.size == ((size + !size + mask) & ~mask))
        return;
    heap_message("%s of %p with a size of %zu bytes, which is a block of %zu bytes", call, block,
                 size, found.size);
    end_or_go_on();
}

/* AddressSanitizer calls this before its own report, which knows nothing of our blocks. */
void __asan_on_error(void);
__attribute__((visibility("default"))) void __asan_on_error(void)
{
    void *address = __asan_get_report_address ? __asan_get_report_address() : NULL;
    struct shard *shard = heap_shard_of(address);
    struct description description;
    if (heap.watchers.asan && shard && shard->pool &&
        describe(shard->pool, heap.watchers, address, &description))
        heap_message(DESCRIBE_FORMAT, DESCRIBE_ARGUMENTS(address, description));
}
