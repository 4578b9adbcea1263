/* SPDX-License-Identifier: MIT */
/* glibc's names for looking at and tuning the heap, with our own true numbers. */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>

#include "next.h"

/* libc's own function of this name, for a program that libc serves: a program may have brought
 * another allocator, which knows nothing of the blocks that come from libc.h. */
static void *libc_function(const char *name)
{
    static void *libc;
    if (!heap.options.is_passed_through)
        return NULL;
    if (!libc)
        libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    return libc ? dlsym(libc, name) : NULL;
}

__attribute__((noinline)) static size_t usable_size_long(void *block)
{
    if (next_owns(block))
        return next_usable_size(block);
    size_t (*libc_usable_size)(void *block) =
        (size_t(*)(void *))libc_function("malloc_usable_size");
    if (libc_usable_size)
        return libc_usable_size(block);
    if (!block)
        return 0;
    heap_call = "malloc_usable_size";
    size_t size = heap_usable_size(block);
    heap_call = NULL;
    return size == HEAP_NO_BLOCK ? 0 : annotate_requested_size(heap.watchers, block, size);
}

/* With several threads; the shard is that of the block, or NULL. */
__attribute__((noinline)) static size_t usable_size_in(const struct shard *shard, void *block)
{
    size_t size = shard ? heap_peek(shard, block) : 0;
    return size > 0 ? size : usable_size_long(block);
}

/* Some programs ask twice in the life of a block. */
EXPORT size_t malloc_usable_size(void *block)
{
    if (heap_is_plain_and_single()) {
        size_t size = ffalloc_peek_usable_size(heap.plain_pool, block);
        return size > 0 ? size : usable_size_long(block);
    }
    const struct shard *shard = heap_plain_home;
    if (!shard || !heap_is_in_home(shard, block))
        shard = heap.plain_pool ? heap_shard_of(block) : NULL;
    return usable_size_in(shard, block);
}

/* arena: what was ever placed up to the high-water mark; the mark's holes are the free blocks. */
EXPORT struct mallinfo2 mallinfo2(void)
{
    struct mallinfo2 (*libc_mallinfo2)(void) =
        (struct mallinfo2(*)(void))libc_function("mallinfo2");
    if (libc_mallinfo2)
        return libc_mallinfo2();
    struct ffalloc_stats stats;
    heap_stats(&stats);
    return (struct mallinfo2){
        .arena = stats.high_water_size,
        .ordblks = stats.hole_count,
        .usmblks = stats.peak_used_size,
        .uordblks = stats.used_size,
        .fordblks = stats.high_water_size - stats.used_size,
    };
}

static int clamp(size_t size)
{
    return size > INT_MAX ? INT_MAX : (int)size;
}

EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 info = mallinfo2();
    return (struct mallinfo){
        .arena = clamp(info.arena),
        .ordblks = clamp(info.ordblks),
        .usmblks = clamp(info.usmblks),
        .uordblks = clamp(info.uordblks),
        .fordblks = clamp(info.fordblks),
    };
}

/* Like glibc's it goes to the stream, in order with what else is written there, and is no
 * cancellation point. */
EXPORT void malloc_stats(void)
{
    void (*libc_malloc_stats)(void) = (void (*)(void))libc_function("malloc_stats");
    char text[REPORT_SIZE];
    int state;
    if (libc_malloc_stats)
        libc_malloc_stats();
    if (heap.shard_count == 0)
        return;
    heap_report_text(text);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    fputs(text, stderr);
    pthread_setcancelstate(state, NULL);
}

/* The elements of glibc's own report that mean something here, one heap for all shards. */
EXPORT int malloc_info(int options, FILE *stream)
{
    int (*libc_malloc_info)(int, FILE *) = (int (*)(int, FILE *))libc_function("malloc_info");
    if (libc_malloc_info)
        return libc_malloc_info(options, stream);
    if (options != 0)
        return EINVAL;
    struct ffalloc_stats stats;
    unsigned shards_used = heap_stats(&stats);
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    fprintf(stream,
            "<malloc version=\"1\">\n"
            "<heap nr=\"0\">\n"
            "<sizes>\n"
            "</sizes>\n"
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
            "<system type=\"current\" size=\"%zu\"/>\n"
            "<system type=\"max\" size=\"%zu\"/>\n"
            "</heap>\n"
            "<ffalloc version=\"" FFALLOC_VERSION "\" pools=\"%u\" granule=\"%zu\" used=\"%zu\""
            " peak=\"%zu\" allocs=\"%zu\" frees=\"%zu\" failed=\"%zu\"/>\n"
            "</malloc>\n",
            stats.hole_count, stats.high_water_size - stats.used_size, stats.high_water_size,
            stats.high_water_size, shards_used, stats.granule, stats.used_size,
            stats.peak_used_size, stats.alloc_count, stats.free_count, stats.failed_count);
    pthread_setcancelstate(state, NULL);
    return ferror(stream) ? -1 : 0;
}

/* `pad` is not kept: what is given back reads as zero and costs a page fault when used again. */
EXPORT int malloc_trim(size_t pad)
{
    int (*libc_malloc_trim)(size_t) = (int (*)(size_t))libc_function("malloc_trim");
    return libc_malloc_trim ? libc_malloc_trim(pad) : heap_trim();
}

/* There is nothing to tune: glibc's options are accepted and have no effect. It answers 1 to those
 * that it does not know, too, and 0 only to a size that is too large for its fast bins. */
EXPORT int mallopt(int option, int value)
{
    int (*libc_mallopt)(int, int) = (int (*)(int, int))libc_function("mallopt");
    if (libc_mallopt)
        return libc_mallopt(option, value);
    return option != M_MXFAST || (size_t)value <= 80 * sizeof(size_t) / 4;
}
