/* SPDX-License-Identifier: MIT */
/*
 * Misuse in a process with two threads, told while nobody is kept waiting.
 *
 *   told MISUSE abort   a handler of SIGABRT allocates, asks for all locks, and returns
 *   told MISUSE pipe    standard error is a full pipe, and its reader does so before it reads;
 *                       signals interrupt the one who writes, meanwhile
 *
 *   free, realloc, size of a freed block; overflow: of a live one, seen by its free; foreign: of an
 * address that is no block's; inbox: a wrong free of the other thread, which waits for the owner
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void (*volatile release)(void *address) = free;
static void *(*volatile resize)(void *address, size_t size) = realloc;
static size_t (*volatile usable)(void *address) = malloc_usable_size;
static volatile size_t sink;

static int pipe_end = -1;
static int is_wrong_now; /* the misuse comes */
static char *inner;      /* for the other thread to free */
static int is_freed;
static int is_read; /* a line, by the other thread */

/* Takes the lock of each pool that is in use, and the recorder's. */
static void ask_for_all(void)
{
    release(malloc(100));
    sink = mallinfo2().uordblks;
}

static void on_abort(int number)
{
    (void)number;
    ask_for_all();
    if (write(1, "handled\n", 8) != 8)
        _exit(2);
}

static void *live(void *nothing)
{
    char text[4096];
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, NULL);
    release(malloc(100));
    while (!__atomic_load_n(&inner, __ATOMIC_ACQUIRE))
        usleep(1000);
    release(inner);
    __atomic_store_n(&is_freed, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&is_wrong_now, __ATOMIC_ACQUIRE))
        usleep(1000);
    usleep(100000);
    ask_for_all();
    ssize_t length;
    while (pipe_end >= 0 && (length = read(pipe_end, text, sizeof text)) > 0)
        if (memchr(text, '\n', (size_t)length))
            __atomic_store_n(&is_read, 1, __ATOMIC_RELEASE);
    pause();
    return nothing;
}

static void overflow(void)
{
    char *block = malloc(64);
    ((volatile char *)block)[64] = 1;
    release(block);
}

static void misuse(const char *what, char *stale)
{
    if (strcmp(what, "free") == 0)
        release(stale);
    else if (strcmp(what, "realloc") == 0)
        sink = resize(stale, 100) != NULL;
    else if (strcmp(what, "size") == 0)
        sink = usable(stale);
    else if (strcmp(what, "overflow") == 0)
        overflow();
    else if (strcmp(what, "foreign") == 0)
        release((void *)(uintptr_t)0x1000);
    else if (strcmp(what, "inbox") == 0)
        release(malloc(100));
}

/* Standard error as a pipe that the process reads: from the start, so that messages go there. */
static void start_with_pipe(char **argv)
{
    int ends[2];
    char number[16];
    if (pipe(ends) || dup2(ends[1], 2) != 2)
        exit(2);
    snprintf(number, sizeof number, "%d", ends[0]);
    execl("/proc/self/exe", argv[0], argv[1], "pipe", number, NULL);
    exit(2);
}

static void fill_pipe(void)
{
    fcntl(2, F_SETFL, O_NONBLOCK);
    while (write(2, "x", 1) == 1)
        ;
    fcntl(2, F_SETFL, 0);
}

static void ignore(int number)
{
    (void)number;
}

/* Interrupts what this thread waits for; nothing is restarted. */
static void set_alarms(long microseconds)
{
    struct sigaction action = {.sa_handler = ignore};
    struct itimerval often = {{0, microseconds}, {0, microseconds}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static void misuse_beside_thread(const char *what, char *stale)
{
    __atomic_store_n(&is_wrong_now, 1, __ATOMIC_RELEASE);
    misuse(what, stale);
}

static void misuse_with_full_pipe(const char *what, char *stale)
{
    fill_pipe();
    set_alarms(3000);
    misuse_beside_thread(what, stale);
    set_alarms(0);
    for (unsigned i = 0; i < 5000 && !__atomic_load_n(&is_read, __ATOMIC_ACQUIRE); i++)
        usleep(1000);
    if (!is_read)
        _exit(3);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc == 3 && strcmp(argv[2], "pipe") == 0)
        start_with_pipe(argv);
    if (argc == 4)
        pipe_end = atoi(argv[3]);
    if (argc < 3 || pthread_create(&thread, NULL, live, NULL))
        return 2;
    signal(SIGABRT, on_abort);
    char *block = malloc(64);
    char *stale = malloc(64);
    int is_inbox = strcmp(argv[1], "inbox") == 0;
    __atomic_store_n(&inner, is_inbox ? block + 16 : malloc(64), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&is_freed, __ATOMIC_ACQUIRE))
        usleep(1000);
    release(stale);
    if (pipe_end >= 0)
        misuse_with_full_pipe(argv[1], stale);
    else
        misuse_beside_thread(argv[1], stale);
    puts("end");
    fflush(stdout);
    _exit(0);
}
