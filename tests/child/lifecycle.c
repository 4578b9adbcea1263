/* SPDX-License-Identifier: MIT */
/*
 * malloc at every time of a process: before main, in threads and as they end, with plugins, at
 * exit, and after fork from a thread while others allocate.
 *
 *   lifecycle [PLUGIN]     PLUGIN is a shared object to load and unload
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define FORKS   30

static char *before_main;
static pthread_key_t key;
static volatile int is_over;

__attribute__((constructor)) static void allocate_first(void)
{
    before_main = strdup("made in a constructor");
}

__attribute__((destructor)) static void free_last(void)
{
    free(before_main);
    free(strdup("made in a destructor"));
}

static void at_exit(void)
{
    char *text = malloc(100);
    strcpy(text, "at exit");
    puts(text);
    free(text);
}

/* Frees what the thread made, and allocates once more, after the thread's function is over. */
static void end_of_thread(void *block)
{
    free(block);
    free(malloc(300));
}

static void churn(unsigned seed, unsigned rounds)
{
    void *blocks[64] = {NULL};
    for (unsigned i = 0; i < rounds; i++) {
        seed = seed * 1664525 + 1013904223;
        void **slot = &blocks[seed >> 26];
        free(*slot);
        size_t size = seed >> 8 & 0xfff;
        *slot = malloc(size);
        if (*slot)
            memset(*slot, 1, size);
    }
    for (unsigned i = 0; i < 64; i++)
        free(blocks[i]);
}

static void *work(void *argument)
{
    pthread_setspecific(key, malloc(200));
    while (!is_over)
        churn((unsigned)(size_t)argument, 1000);
    return strdup("the thread's result, freed by another");
}

static void fork_once(unsigned seed)
{
    pid_t child = fork();
    if (child == 0) {
        churn(seed, 2000);
        _exit(42);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 42) {
        fprintf(stderr, "a forked child failed\n");
        _exit(1);
    }
}

static void *fork_from_thread(void *argument)
{
    for (unsigned i = 0; i < FORKS; i++)
        fork_once(i);
    return argument;
}

static void load_plugin(const char *path)
{
    for (int i = 0; i < 5; i++) {
        void *plugin = dlopen(path, RTLD_NOW);
        char *(*make)(void) = plugin ? (char *(*)(void))dlsym(plugin, "plugin_make") : NULL;
        if (!make) {
            fprintf(stderr, "no plugin: %s\n", dlerror());
            exit(1);
        }
        char *made = make();
        dlclose(plugin);
        free(made);
    }
}

/* The handlers of a library that was loaded before, in this process: two at each fork. */
static void check_fork_handlers(void)
{
#ifdef LIFECYCLE_FORKLIB
    extern int forklib_allocations;
    if (forklib_allocations != 2 * (3 * FORKS + 1)) {
        fprintf(stderr, "%d allocations in fork handlers\n", forklib_allocations);
        exit(1);
    }
#endif
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    pthread_t forker;
    atexit(at_exit);
    if (argc > 1)
        load_plugin(argv[1]);
    pthread_key_create(&key, end_of_thread);
    for (int round = 0; round < 3; round++) {
        is_over = 0;
        for (size_t i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, work, (void *)(i + 1));
        pthread_create(&forker, NULL, fork_from_thread, NULL);
        pthread_join(forker, NULL);
        is_over = 1;
        for (size_t i = 0; i < THREADS; i++) {
            void *result;
            pthread_join(threads[i], &result);
            free(result);
        }
    }
    fork_once(99);
    check_fork_handlers();
    puts(before_main);
    return 0;
}
