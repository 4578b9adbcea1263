/* SPDX-License-Identifier: MIT */
/*
 * Replays an allocation trace (FTRC version 1, see the FORMAT.md beside the traces) and prints
 * the time of a call.
 *
 *   replay malloc TRACE ROUNDS    through malloc's names, whosever they are
 *   replay core TRACE ROUNDS      through the core, in one pool
 *   replay null TRACE ROUNDS      the replay itself: what is to be subtracted
 *   replay size TRACE             the smallest pool of the run, and the peak of live bytes
 *
 * A trace of "-" is read from standard input. As a program would, it writes to each block's
 * first bytes and reads them when it frees it. `replay_calls` is the part to be counted:
 * valgrind --tool=callgrind --toggle-collect=replay_calls.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "ffalloc/ffalloc.h"
#include "ftrc.h"

struct trace {
    uint64_t count;
    struct record *records;
    uint32_t id_count;
};

/* The functions that serve a replay. */
struct server {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    void *(*aligned)(size_t alignment, size_t size);
    void (*free)(void *block);
};

__attribute__((noreturn)) static void fail(const char *why)
{
    fprintf(stderr, "replay: %s\n", why);
    exit(2);
}

/* Memory that is not the allocator's under test. */
static void *pages(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        fail("out of memory");
    return memory;
}

static struct trace read_trace(const char *path)
{
    struct {
        char magic[4];
        uint32_t version;
        uint64_t count;
    } header;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!file)
        fail("cannot open the trace");
    if (fread(&header, sizeof header, 1, file) != 1 || memcmp(header.magic, "FTRC", 4) != 0)
        fail("not an FTRC trace");
    if (header.version != 1 || header.count == 0 || header.count > UINT32_MAX)
        fail("not a trace of version 1");
    struct trace trace = {header.count, pages(header.count * sizeof(struct record)), 0};
    if (fread(trace.records, sizeof(struct record), trace.count, file) != trace.count)
        fail("the trace is truncated");
    for (uint64_t i = 0; i < trace.count; i++) {
        if (trace.records[i].op < OP_MALLOC || trace.records[i].op > OP_ALIGNED)
            fail("a record of unknown kind");
        if (trace.records[i].id >= trace.id_count)
            trace.id_count = trace.records[i].id + 1;
    }
    if (file != stdin)
        fclose(file);
    return trace;
}

static inline void touch(void *block, uint32_t size, uint32_t id)
{
    if (block && size >= sizeof id)
        memcpy(block, &id, sizeof id);
}

static void replay_record(const struct server *server, const struct record *record, void **slot)
{
    switch (record->op) {
    case OP_MALLOC:
        *slot = server->malloc(record->size);
        break;
    case OP_CALLOC:
        *slot = server->calloc(1, record->size);
        break;
    case OP_REALLOC:
        *slot = server->realloc(*slot, record->size);
        break;
    case OP_ALIGNED:
        *slot = server->aligned((size_t)1 << record->log2align, record->size);
        break;
    default:
        server->free(*slot);
        *slot = NULL;
        return;
    }
    touch(*slot, record->size, record->id);
}

__attribute__((noinline)) static void replay_calls(const struct server *server,
                                                   const struct trace *trace, void **slots)
{
    for (uint64_t i = 0; i < trace->count; i++)
        replay_record(server, &trace->records[i], &slots[trace->records[i].id]);
}

static void free_rest(const struct server *server, const struct trace *trace, void **slots)
{
    for (uint32_t id = 0; id < trace->id_count; id++) {
        server->free(slots[id]);
        slots[id] = NULL;
    }
}

/* The core ------------------------------------------------------------------------------ */

static struct ffalloc_pool *pool;

static void *core_malloc(size_t size)
{
    return ffalloc_malloc(pool, size);
}

static void *core_calloc(size_t count, size_t size)
{
    return ffalloc_calloc(pool, count, size);
}

static void *core_realloc(void *block, size_t size)
{
    return ffalloc_realloc(pool, block, size);
}

static void *core_aligned(size_t alignment, size_t size)
{
    return ffalloc_aligned_alloc(pool, alignment, size);
}

static void core_free(void *block)
{
    ffalloc_free(pool, block);
}

static const struct server core_server = {core_malloc, core_calloc, core_realloc, core_aligned,
                                          core_free};

static void *libc_aligned(size_t alignment, size_t size)
{
    void *block = NULL;
    return posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : alignment, size)
               ? NULL
               : block;
}

static const struct server malloc_server = {malloc, calloc, realloc, libc_aligned, free};

/* Nothing is served: what the replay itself costs. */

static unsigned char nowhere[16];

static void *null_malloc(size_t size)
{
    (void)size;
    return nowhere;
}

static void *null_calloc(size_t count, size_t size)
{
    return null_malloc(count * size);
}

static void *null_realloc(void *block, size_t size)
{
    (void)block;
    return null_malloc(size);
}

static void *null_aligned(size_t alignment, size_t size)
{
    (void)alignment;
    return null_malloc(size);
}

static void null_free(void *block)
{
    (void)block;
}

static const struct server null_server = {null_malloc, null_calloc, null_realloc, null_aligned,
                                          null_free};

/* --------------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* A pool with room for every trace there is, on memory that is touched only where used. */
static void make_pool(void)
{
    size_t size = sizeof(size_t) == 8 ? (size_t)16 << 30 : (size_t)512 << 20;
    struct ffalloc_config config = {.is_zeroed = true};
    pool = ffalloc_init_with(pages(size), size, &config);
}

static void time_rounds(const struct server *server, const struct trace *trace, unsigned rounds)
{
    void **slots = pages(trace->id_count * sizeof *slots);
    double best = 1e300;
    for (unsigned round = 0; round < rounds; round++) {
        double start = now();
        replay_calls(server, trace, slots);
        double taken = now() - start;
        best = taken < best ? taken : best;
        free_rest(server, trace, slots);
    }
    printf("%.3f %" PRIu64 "\n", best / (double)trace->count, trace->count);
}

static uint64_t peak_live(const struct trace *trace)
{
    uint32_t *sizes = pages(trace->id_count * sizeof *sizes);
    uint64_t live = 0;
    uint64_t peak = 0;
    for (uint64_t i = 0; i < trace->count; i++) {
        const struct record *record = &trace->records[i];
        live += record->op == OP_FREE ? 0 : record->size;
        live -= record->op == OP_FREE || record->op == OP_REALLOC ? sizes[record->id] : 0;
        sizes[record->id] = record->size;
        peak = live > peak ? live : peak;
    }
    return peak;
}

static void print_size(const struct trace *trace)
{
    void **slots = pages(trace->id_count * sizeof *slots);
    struct ffalloc_stats stats;
    make_pool();
    replay_calls(&core_server, trace, slots);
    ffalloc_stats(pool, &stats);
    size_t least = ffalloc_pool_size_for(stats.high_water_size / stats.granule, stats.granule);
    uint64_t peak = peak_live(trace);
    printf("%zu %" PRIu64 " %zu\n", least, peak, least - stats.high_water_size);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        fail("usage: replay malloc|core|null|size TRACE [ROUNDS]");
    struct trace trace = read_trace(argv[2]);
    unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
    if (strcmp(argv[1], "malloc") == 0) {
        time_rounds(&malloc_server, &trace, rounds);
    } else if (strcmp(argv[1], "core") == 0) {
        make_pool();
        time_rounds(&core_server, &trace, rounds);
    } else if (strcmp(argv[1], "null") == 0) {
        time_rounds(&null_server, &trace, rounds);
    } else if (strcmp(argv[1], "size") == 0) {
        print_size(&trace);
    } else {
        fail("the first argument is malloc, core, null or size");
    }
    return 0;
}
