/* SPDX-License-Identifier: MIT */
/*
 * What limits, locks and neighbours see of the heap; the first argument says what to do. Without
 * the library it does the same with glibc's malloc: the test compares.
 */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static size_t number(const char *text)
{
    return (size_t)strtoull(text, NULL, 0);
}

static void set_limit(int which, size_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    if (setrlimit(which, &limit) != 0)
        exit(2);
}

/* How many KiB can be had in blocks of `unit` bytes, each touched once. */
static int fill(size_t unit)
{
    char *block;
    size_t kib = 0;
    while (kib < (size_t)16 << 20 && (block = malloc(unit)) != NULL) {
        *block = 1;
        kib += unit / 1024;
    }
    printf("%zu\n", kib);
    return 0;
}

static void *make_and_free(void *argument)
{
    for (size_t size = 1; size < 3000; size++)
        free(malloc(size));
    return argument;
}

static int use_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, make_and_free, NULL) != 0)
        return 3;
    return pthread_join(thread, NULL) != 0;
}

/* After a limit on itself: mappings, threads and other programs work as before. */
static int live_on(void)
{
    void *mapped = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED || use_thread() != 0)
        return 4;
    FILE *pipe = popen("echo there", "r");
    char line[16] = "";
    if (!pipe || !fgets(line, sizeof line, pipe) || strcmp(line, "there\n") != 0)
        return 5;
    return pclose(pipe) != 0;
}

static char *volatile run_start;
static char *volatile run_at;

static void tell_distance(int signal)
{
    (void)signal;
    char line[32];
    int length = snprintf(line, sizeof line, "%zu\n", (size_t)(run_at - run_start) / 1024);
    _exit(write(1, line, (size_t)length) != length);
}

/* A pointer that runs away upwards from a block of 100 bytes above `size` bytes of others; tells at
 * how many KiB it faults. */
static int run_away(size_t size)
{
    signal(SIGSEGV, tell_distance);
    for (size_t had = 0; had < size; had += 10000)
        if (!malloc(10000))
            return 2;
    run_start = malloc(100);
    for (run_at = run_start; run_at - run_start < (ptrdiff_t)(1024 * MIB); run_at += 1024)
        *run_at = 1;
    return 3;
}

struct mapping {
    uintptr_t start;
    uintptr_t end;
    char access[8];
};

/* The process's mappings, up to `limit`; returns how many. Only stack memory is used. */
static size_t read_mappings(struct mapping *mappings, size_t limit)
{
    static char text[1 << 16];
    FILE *file = fopen("/proc/self/maps", "r");
    size_t count = 0;
    while (file && count < limit && fgets(text, sizeof text, file)) {
        struct mapping *mapping = &mappings[count];
        if (sscanf(text, "%zx-%zx %7s", &mapping->start, &mapping->end, mapping->access) == 3 &&
            !strstr(text, "[v"))
            count++;
    }
    if (file)
        fclose(file);
    return count;
}

/* mlockall, and mlock of each mapping. Prints the KiB that are resident then. */
static int lock(void)
{
    static struct mapping mappings[500];
    free(malloc(100000));
    if (mlockall(MCL_CURRENT) != 0 || munlockall() != 0)
        return 2;
    size_t count = read_mappings(mappings, 500);
    for (size_t i = 0; i < count; i++)
        if (mlock((void *)mappings[i].start, mappings[i].end - mappings[i].start) != 0)
            return 3;
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        return 4;
    printf("%ld\n", pages * (sysconf(_SC_PAGESIZE) / 1024));
    return 0;
}

static int is_open(const struct mapping *mapping)
{
    return strcmp(mapping->access, "---p") != 0;
}

/* No mapping that can be read adjoins the one that a block is in. */
static int is_apart(const void *block)
{
    static struct mapping mappings[500];
    size_t count = read_mappings(mappings, 500);
    for (size_t i = 0; i < count; i++) {
        const struct mapping *its = &mappings[i];
        if ((uintptr_t)block < its->start || (uintptr_t)block >= its->end)
            continue;
        int has_left = i > 0 && mappings[i - 1].end == its->start && is_open(&mappings[i - 1]);
        int has_right =
            i + 1 < count && mappings[i + 1].start == its->end && is_open(&mappings[i + 1]);
        return !has_left && !has_right;
    }
    return 0;
}

static void *check_apart(void *argument)
{
    return is_apart(malloc(100)) ? argument : NULL;
}

/* At both ends of each pool is a page without access, whatever else is mapped. */
static int neighbours(void)
{
    void *seen = NULL;
    pthread_t thread;
    if (!is_apart(malloc(100)))
        return 2;
    for (int i = 0; i < 100; i++)
        mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pthread_create(&thread, NULL, check_apart, &seen) != 0 || pthread_join(thread, &seen) != 0)
        return 3;
    return !seen || !is_apart(malloc(3 * MIB)) ? 4 : 0;
}

static size_t address_space(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%zu", &pages) != 1)
        exit(2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* What a limit refused for a part leaves nothing behind: without it the same pool serves. */
static int grow_later(void)
{
    char *first = malloc(100);
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    rlim_t before = limit.rlim_cur;
    for (size_t more = 0; more < 40 * MIB; more += more / 2 + 4096) {
        limit.rlim_cur = address_space() + more;
        setrlimit(RLIMIT_AS, &limit);
        if (malloc(64 * MIB))
            return 3;
        limit.rlim_cur = before;
        setrlimit(RLIMIT_AS, &limit);
    }
    char *block = malloc(64 * MIB);
    return block > first && (size_t)(block - first) < 200 * MIB ? 0 : 4;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    size_t size = count > 2 ? number(arguments[2]) : 0;
    if (strcmp(what, "fill") == 0)
        return fill(size);
    if (strcmp(what, "data") == 0 || strcmp(what, "space") == 0) {
        free(malloc(MIB));
        set_limit(*what == 'd' ? RLIMIT_DATA : RLIMIT_AS, size);
        return live_on() != 0 ? 3 : fill(MIB);
    }
    if (strcmp(what, "run-away") == 0)
        return run_away(size);
    if (strcmp(what, "lock") == 0)
        return lock();
    if (strcmp(what, "neighbours") == 0)
        return neighbours();
    if (strcmp(what, "later") == 0)
        return grow_later();
    if (strcmp(what, "thread") == 0)
        return use_thread();
    if (strcmp(what, "abort") == 0) {
        memset(malloc(MIB), 1, MIB);
        abort();
    }
    return 64;
}
