/* SPDX-License-Identifier: MIT */
/*
 * The lock of the preload library where threads do sleep for it: each holds it for longer than the
 * others look again. A sleep that does not end shows as a test that does not, and wake-ups that
 * never come as one that takes long.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../src/preload/lock.h"

#define THREADS     4
#define ROUNDS      20000
#define ROUNDS_HELD 64 /* one in so many rounds the lock is held for long */
#define HELD_US     300

static struct lock lock;
static unsigned long round_count; /* under the lock */
static unsigned long sleep_count;

static void *work(void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < ROUNDS; round++) {
        lock_take(&lock);
        round_count++;
        if (round_count % ROUNDS_HELD == 0)
            usleep(HELD_US);
        lock_give(&lock);
    }
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    lock_take(&lock);
    sleep_count += (unsigned long)usage.ru_nvcsw;
    lock_give(&lock);
    return NULL;
}

/* Ends the process at a system call that filters in the field do not know. */
static void forbid_barriers(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program))
        puts("no seccomp here");
}

int main(void)
{
    forbid_barriers();
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, NULL))
            return 2;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* Those that held it slept this often; the rest slept for it. */
    unsigned long held_count = THREADS * ROUNDS / ROUNDS_HELD;
    printf("%lu rounds, %lu sleeps, %lu of them with the lock held\n", round_count, sleep_count,
           held_count);
    return round_count != THREADS * ROUNDS || sleep_count <= held_count || lock.state != 0;
}
