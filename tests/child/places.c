/* SPDX-License-Identifier: MIT */
/*
 * Makes calls of every kind and prints where each block lies, from the first one on: the same on
 * every run, whoever looks on. With "threads" two threads take turns; with "kill" it kills itself
 * at the end, with "crash" it crashes, with "fork" a child makes calls too.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 200

static char *blocks[BLOCKS];
static unsigned state = 1;

static unsigned draw(unsigned limit)
{
    state = state * 1103515245u + 12345u;
    return state / 65536 % limit;
}

static char *make(unsigned i, size_t size)
{
    switch (i % 4) {
    case 0:
        return calloc(1, size);
    case 1:
        return aligned_alloc(64, size);
    default:
        return malloc(size);
    }
}

static void work(unsigned calls, const char *base)
{
    char line[64];
    for (unsigned i = 0; i < calls; i++) {
        unsigned at = draw(BLOCKS);
        size_t size = draw(500) + 1;
        if (!blocks[at]) {
            blocks[at] = make(i, size);
        } else if (draw(3) == 0) {
            blocks[at] = realloc(blocks[at], size);
        } else {
            free(blocks[at]);
            blocks[at] = NULL;
        }
        int length = snprintf(line, sizeof line, "%td\n", blocks[at] ? blocks[at] - base : -1);
        if (write(1, line, (size_t)length) != length)
            exit(1);
    }
}

static void *work_in_thread(void *base)
{
    work(500, base);
    return NULL;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    char *base = malloc(1);
    work(3000, base);
    if (strcmp(how, "threads") == 0) {
        pthread_t thread;
        for (int i = 0; i < 2; i++) {
            pthread_create(&thread, NULL, work_in_thread, base);
            pthread_join(thread, NULL);
        }
    }
    if (strcmp(how, "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 100; i++)
                free(malloc(1000));
            return 0;
        }
        waitpid(child, NULL, 0);
    }
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(how, "crash") == 0)
        abort();
    return strcmp(how, "seven") == 0 ? 7 : 0;
}
