/* SPDX-License-Identifier: MIT */
/*
 * Counts the instructions of single calls on a Cortex-M4: QEMU's mps2-an386 with -icount shift=10,
 * where every instruction takes 1024 ns of virtual time and a timer counts that time at 25 MHz.
 * Exact and repeatable; the host's speed does not enter.
 *
 *   trace POOL_SIZE FILE       replays a trace (FTRC version 1) in one pool of granule 8
 *   adversary POOL_SIZE NAME   a scenario of adversary.h
 *
 * The arguments come by semihosting, as does the trace. Prints, for malloc, free and realloc (the
 * copy left out) each: calls, instructions together, 99.9 % and the worst; then failed requests.
 */
#include "adversary.h"
#include "ftrc.h"
#include "semihost.h"

#define NANOSECONDS_PER_INSTRUCTION 1024
#define NANOSECONDS_PER_TICK        40

/* Counting ------------------------------------------------------------------------------- */

#define TIMER ((volatile uint32_t *)0x40000000) /* CMSDK APB timer 0: control, value, reload */
#define MOST  4095u                             /* instructions that are told apart */

static uint32_t histogram[KIND_COUNT][MOST + 1];
static uint32_t call_count[KIND_COUNT];
static uint64_t total[KIND_COUNT];
static uint32_t worst[KIND_COUNT];
static uint32_t own_count;
static uint32_t failed_count;

static void start_timer(void)
{
    TIMER[2] = UINT32_MAX;
    TIMER[1] = UINT32_MAX;
    TIMER[0] = 1;
}

static inline uint32_t now(void)
{
    __asm__ volatile("" ::: "memory");
    uint32_t ticks = TIMER[1];
    __asm__ volatile("" ::: "memory");
    return ticks;
}

/* The timer counts down. */
static uint32_t instructions_since(uint32_t start, uint32_t end)
{
    uint64_t time = (uint64_t)(start - end) * NANOSECONDS_PER_TICK;
    return (uint32_t)((time + NANOSECONDS_PER_INSTRUCTION / 2) / NANOSECONDS_PER_INSTRUCTION);
}

static void note(enum kind kind, uint32_t count)
{
    histogram[kind][count < MOST ? count : MOST]++;
    call_count[kind]++;
    total[kind] += count;
    worst[kind] = count > worst[kind] ? count : worst[kind];
}

static void *counted_malloc(struct ffalloc_pool *pool, size_t size)
{
    uint32_t start = now();
    void *block = ffalloc_malloc(pool, size);
    uint32_t end = now();
    note(KIND_MALLOC, instructions_since(start, end) - own_count);
    return block;
}

static void *counted_aligned(struct ffalloc_pool *pool, size_t alignment, size_t size)
{
    uint32_t start = now();
    void *block = ffalloc_aligned_alloc(pool, alignment, size);
    uint32_t end = now();
    note(KIND_ALIGNED, instructions_since(start, end) - own_count);
    return block;
}

static void counted_free(struct ffalloc_pool *pool, void *block)
{
    uint32_t start = now();
    ffalloc_free(pool, block);
    uint32_t end = now();
    note(KIND_FREE, instructions_since(start, end) - own_count);
}

/* Without the copy: realloc's own steps. */
static void *counted_realloc(struct ffalloc_pool *pool, void *block, size_t size)
{
    uint32_t start = now();
    if (!ffalloc_resize(pool, block, size)) {
        void *moved = ffalloc_malloc(pool, size);
        if (moved)
            ffalloc_free(pool, block);
        block = moved;
    }
    uint32_t end = now();
    note(KIND_REALLOC, instructions_since(start, end) - own_count);
    return block;
}

static uint32_t permille_999(enum kind kind)
{
    uint32_t rest = call_count[kind] / 1000;
    uint32_t count = MOST;
    for (; count > 0; count--) {
        if (histogram[kind][count] > rest)
            break;
        rest -= histogram[kind][count];
    }
    return count;
}

static void report(void)
{
    for (enum kind kind = KIND_MALLOC; kind < KIND_COUNT; kind++) {
        print_number(call_count[kind]);
        print_number((uint32_t)(total[kind] / (call_count[kind] ? call_count[kind] : 1)));
        print_number((uint32_t)(total[kind] % (call_count[kind] ? call_count[kind] : 1)));
        print_number(permille_999(kind));
        print_number(worst[kind]);
    }
    print_number(failed_count);
    print("\n");
}

/* The two commands ----------------------------------------------------------------------- */

/* The 16 MiB of PSRAM: pools of the host's size, then pointers. */
#define MEMORY      ((unsigned char *)0x21000000)
#define MEMORY_SIZE ((size_t)16 << 20)

static struct ffalloc_pool *make_pool(size_t size)
{
    struct ffalloc_config config = {.granule = 8};
    struct ffalloc_pool *pool =
        size < MEMORY_SIZE / 2 ? ffalloc_init_with(MEMORY, size, &config) : NULL;
    if (!pool)
        fail("no such pool");
    return pool;
}

static void replay(struct ffalloc_pool *pool, const struct record *record, void **slot)
{
    switch (record->op) {
    case OP_MALLOC:
    case OP_CALLOC: /* the clearing is not the allocator's */
        *slot = counted_malloc(pool, record->size);
        break;
    case OP_REALLOC:
        *slot = counted_realloc(pool, *slot, record->size);
        break;
    case OP_FREE:
        counted_free(pool, *slot);
        *slot = NULL;
        return;
    case OP_ALIGNED:
        *slot = counted_aligned(pool, (size_t)1 << record->log2align, record->size);
        break;
    default:
        fail("a record of unknown kind");
    }
    failed_count += *slot == NULL;
}

static void replay_trace(size_t pool_size, const char *path, size_t path_size)
{
    static struct record records[4096];
    void **slots = (void **)(MEMORY + MEMORY_SIZE / 2);
    size_t slot_limit = MEMORY_SIZE / 2 / sizeof *slots;
    const uintptr_t open[3] = {(uintptr_t)path, 1, path_size};
    int file = host(SYS_OPEN, open);
    uint32_t header[4];
    const uintptr_t read_header[3] = {(uintptr_t)file, (uintptr_t)header, sizeof header};
    if (file < 0 || host(SYS_READ, read_header) != 0 || header[1] != 1)
        fail("no trace of version 1");
    struct ffalloc_pool *pool = make_pool(pool_size);
    for (uint32_t left = header[2]; left > 0;) {
        const uintptr_t read[3] = {(uintptr_t)file, (uintptr_t)records, sizeof records};
        size_t count = (sizeof records - (size_t)host(SYS_READ, read)) / sizeof *records;
        if (count == 0 || count > left)
            fail("the trace is truncated");
        for (size_t i = 0; i < count; i++) {
            if (records[i].id >= slot_limit)
                fail("too many live blocks");
            replay(pool, &records[i], &slots[records[i].id]);
        }
        left -= (uint32_t)count;
    }
    if (!ffalloc_check(pool, NULL))
        fail("the pool is damaged");
}

static bool is_equal(const char *one, const char *two)
{
    while (*one && *one == *two) {
        one++;
        two++;
    }
    return *one == *two;
}

static void play(size_t pool_size, const char *name)
{
    for (unsigned i = 0; i < SCENARIO_COUNT; i++) {
        if (!is_equal(name, scenarios[i].name))
            continue;
        for (unsigned j = 0; j < 14 && scenarios[i].granules[j]; j++) {
            struct stage stage = {make_pool(pool_size),
                                  8,
                                  (void **)(MEMORY + MEMORY_SIZE / 2),
                                  MEMORY_SIZE / 2 / sizeof(void *),
                                  0,
                                  1};
            scenarios[i].play(&stage, scenarios[i].granules[j]);
            if (!ffalloc_check(stage.pool, NULL))
                fail("the pool is damaged");
        }
        return;
    }
    fail("no such scenario");
}

/* The words of the command line, cut in place. */
static size_t cut(char *line, char **words, size_t limit)
{
    size_t count = 0;
    while (*line && count < limit) {
        words[count++] = line;
        while (*line && *line != ' ')
            line++;
        if (*line)
            *line++ = '\0';
    }
    return count;
}

static size_t length_of(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

static void run(void)
{
    static char line[1024];
    char *words[4];
    uintptr_t get[2] = {(uintptr_t)line, sizeof line};
    if (host(SYS_GET_CMDLINE, get) != 0 || cut(line, words, 4) != 4)
        fail("usage: trace|adversary POOL_SIZE FILE|NAME");
    size_t pool_size = 0;
    for (const char *digit = words[2]; *digit; digit++)
        pool_size = pool_size * 10 + (size_t)(*digit - '0');
    start_timer();
    uint32_t start = now();
    own_count = instructions_since(start, now());
    if (is_equal(words[1], "trace"))
        replay_trace(pool_size, words[3], length_of(words[3]));
    else
        play(pool_size, words[3]);
    report();
    leave(true);
}

/* What the compiler may call for a copy or a clearing. */
void *memset(void *block, int byte, size_t size)
{
    unsigned char *bytes = block;
    while (size-- > 0)
        *bytes++ = (unsigned char)byte;
    return block;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    while (size-- > 0)
        *target++ = *source++;
    return to;
}

void start(void)
{
    run();
}

extern unsigned char stack_top[];
static void stop(void)
{
    fail("a fault");
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))stack_top, start, stop, stop, stop, stop, stop};
