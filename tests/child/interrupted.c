/* SPDX-License-Identifier: MIT */
/* One thread, in whose calls of fork, malloc and free a signal handler forks, at any moment. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 1500

static void *(*volatile take)(size_t size) = malloc;
static void (*volatile release)(void *block) = free;
static volatile sig_atomic_t signal_count;

static void fork_once(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(17);
    while (waitpid(child, &status, 0) != child)
        if (errno != EINTR)
            _exit(1);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 17)
        _exit(1);
}

static void fork_in_handler(int number)
{
    (void)number;
    int saved = errno;
    signal_count++;
    fork_once();
    errno = saved;
}

static void send_signals(pid_t to)
{
    signal(SIGUSR1, SIG_IGN);
    while (getppid() == to) {
        kill(to, SIGUSR1);
        usleep(200);
    }
    _exit(0);
}

int main(void)
{
    void *blocks[64] = {NULL};
    pid_t parent = getpid();
    signal(SIGUSR1, fork_in_handler);
    pid_t sender = fork();
    if (sender == 0)
        send_signals(parent);
    for (unsigned i = 0; i < ROUNDS; i++) {
        fork_once();
        release(blocks[i % 64]);
        blocks[i % 64] = take(i * 7919 % 70000);
    }
    signal(SIGUSR1, SIG_IGN);
    kill(sender, SIGKILL);
    return signal_count < 100;
}
