/* SPDX-License-Identifier: MIT */
#include "snapshots.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "directory.h"

static volatile sig_atomic_t is_snapshot_wanted;

/* Whether a child that has ended, or is to be waited for, has ended well. */
static bool has_succeeded(pid_t child, int *is_running)
{
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(child, &status, is_running ? WNOHANG : 0)) < 0 && errno == EINTR)
        ;
    if (is_running)
        *is_running = ended == 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void begin_snapshot(struct session *session)
{
    session->is_in_snapshot = true;
    session->has_snapshot_failed = session->count == 0;
    for (unsigned i = 0; i < session->count; i++) {
        pid_t child = recorder_snapshot(session->recorded[i].recorder);
        session->recorded[i].snapshot = child > 0 ? child : 0;
        session->has_snapshot_failed |= child < 0;
    }
}

void snapshots_see_to(struct session *session)
{
    int is_any_running = 0;
    if (is_snapshot_wanted && !session->is_in_snapshot) {
        is_snapshot_wanted = 0;
        begin_snapshot(session);
    }
    if (!session->is_in_snapshot)
        return;
    for (unsigned i = 0; i < session->count; i++) {
        struct recorded *recorded = &session->recorded[i];
        int is_running = 0;
        if (recorded->snapshot == 0)
            continue;
        bool is_good = has_succeeded(recorded->snapshot, &is_running);
        is_any_running |= is_running;
        if (is_running)
            continue;
        recorded->snapshot = 0;
        session->has_snapshot_failed |= !is_good;
    }
    if (is_any_running)
        return;
    session->is_in_snapshot = false;
    session->snapshot_count++;
    directory_note(session);
}

void snapshots_wait(struct session *session, struct recorded *recorded)
{
    if (recorded->snapshot > 0)
        session->has_snapshot_failed |= !has_succeeded(recorded->snapshot, NULL);
    recorded->snapshot = 0;
}

static void want_snapshot(int number)
{
    (void)number;
    is_snapshot_wanted = 1;
}

void snapshots_start(void)
{
    struct sigaction snapshot = {.sa_handler = want_snapshot, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &snapshot, NULL);
}
