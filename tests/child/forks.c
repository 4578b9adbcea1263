/* SPDX-License-Identifier: MIT */
/*
 * fork where it may hang. What waits for what:
 *
 *   forks streams    fork for libc's list of streams, which fflush(NULL) holds; that for a stream;
 *                    and its holder for malloc
 *   forks handlers   a fork handler for the lock of its library, whose holder waits for malloc
 *   forks storm      threads that fork, read lines, flush, and free each other's blocks
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_US 100000 /* for the others to get as far as they do */

extern pthread_mutex_t forklib_lock;

static void *(*volatile take)(size_t size) = malloc;
static void (*volatile release)(void *block) = free;
static int is_over;

static int fail(const char *what)
{
    fprintf(stderr, "forks: %s\n", what);
    _exit(1);
}

static void start(pthread_t *thread, void *(*work)(void *), void *argument)
{
    if (pthread_create(thread, NULL, work, argument))
        fail("no thread");
}

static void fork_once(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        for (size_t size = 1; size < 5000; size += size / 2 + 1)
            release(take(size));
        _exit(17);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 17)
        fail("a child failed");
}

/* Three steps, for fork to come in the middle. */
static void *allocate_with_stream(void *stream)
{
    flockfile(stream);
    usleep(3 * STEP_US);
    release(take(100));
    funlockfile(stream);
    return NULL;
}

static void *allocate_with_lock(void *nothing)
{
    pthread_mutex_lock(&forklib_lock);
    usleep(2 * STEP_US);
    release(take(100));
    pthread_mutex_unlock(&forklib_lock);
    return nothing;
}

static void *flush_all(void *nothing)
{
    fflush(NULL);
    return nothing;
}

static int fork_beside_streams(void)
{
    pthread_t holder, flusher;
    start(&holder, allocate_with_stream, tmpfile());
    usleep(STEP_US);
    start(&flusher, flush_all, NULL);
    usleep(STEP_US);
    fork_once();
    pthread_join(flusher, NULL);
    pthread_join(holder, NULL);
    return 0;
}

static int fork_beside_handlers(void)
{
    pthread_t holder;
    start(&holder, allocate_with_lock, NULL);
    usleep(STEP_US);
    fork_once();
    pthread_join(holder, NULL);
    return 0;
}

static int is_going(void)
{
    return !__atomic_load_n(&is_over, __ATOMIC_RELAXED);
}

static void *fork_on(void *nothing)
{
    while (is_going())
        fork_once();
    return nothing;
}

static void *read_lines(void *path)
{
    FILE *file = fopen(path, "r");
    while (is_going()) {
        char *line = NULL;
        size_t size = 0;
        rewind(file);
        if (getline(&line, &size, file) < 0)
            fail("no line");
        release(line);
    }
    fclose(file);
    return NULL;
}

static void *flush_on(void *nothing)
{
    while (is_going())
        fflush(NULL);
    return nothing;
}

/* Blocks that another thread of these frees. */
static void *exchange(void *nothing)
{
    static void *shared[256];
    for (unsigned i = 0; is_going(); i++)
        release(__atomic_exchange_n(&shared[i * 97 % 256], take(i % 300), __ATOMIC_ACQ_REL));
    return nothing;
}

static int fork_in_storm(void)
{
    static void *(*const work[])(void *) = {fork_on,  fork_on,  read_lines, read_lines,
                                            flush_on, exchange, exchange};
    enum { THREADS = sizeof work / sizeof *work };
    char path[] = "/tmp/forks-XXXXXX";
    pthread_t threads[THREADS];
    int descriptor = mkstemp(path);
    FILE *file = fdopen(descriptor, "w");
    fprintf(file, "%50000d\n", 1);
    fclose(file);
    for (unsigned i = 0; i < THREADS; i++)
        start(&threads[i], work[i], path);
    sleep(2);
    __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return unlink(path);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } cases[] = {
        {"streams", fork_beside_streams},
        {"handlers", fork_beside_handlers},
        {"storm", fork_in_storm},
    };
    for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(argv[1], cases[i].name) == 0)
            return cases[i].run();
    return 2;
}
