/* SPDX-License-Identifier: MIT */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "control.h"
#include "directory.h"
#include "snapshots.h"

#define SECONDS_TO_WAIT 2 /* before it is said that the process makes no call */

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

struct target {
    int process; /* a pidfd */
    struct control *control;
    char path[60];
    ino_t file;
    uid_t user;
};

static void refuse(pid_t process)
{
    die(STATUS_FAILED,
        "process %d cannot be recorded: it does not run under ffalloc run --live, or is not yours",
        process);
}

static void open_target(struct target *target, pid_t process)
{
    struct stat status;
    target->process = (int)syscall(SYS_pidfd_open, process, 0);
    if (target->process < 0)
        die(STATUS_FAILED, "process %d: %s", process, strerror(errno));
    snprintf(target->path, sizeof target->path, CONTROL_PATH, (unsigned)process);
    int descriptor = open(target->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0 || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size != CONTROL_SIZE || (status.st_uid != geteuid() && geteuid() != 0))
        refuse(process);
    target->file = status.st_ino;
    target->user = status.st_uid;
    target->control = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (target->control == MAP_FAILED ||
        memcmp(target->control->magic, CONTROL_MAGIC, sizeof target->control->magic) != 0 ||
        target->control->process != (uint32_t)process)
        refuse(process);
}

/* One recorder at a time; one that was killed is none. */
static void claim(const struct target *target, const struct session *session)
{
    uint32_t *recorder = &target->control->recorder;
    uint32_t other = __atomic_load_n(recorder, __ATOMIC_ACQUIRE);
    bool is_free = other == 0 || (kill((pid_t)other, 0) != 0 && errno == ESRCH);
    if (!is_free || !__atomic_compare_exchange_n(recorder, &other, (uint32_t)getpid(), false,
                                                 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        die(STATUS_FAILED, "process %d is being recorded already, by process %u", session->child,
            other);
}

static void ask(const struct target *target, const struct session *session)
{
    struct control *control = target->control;
    if (target->user != geteuid() && chown(session->folder, target->user, (gid_t)-1) != 0)
        die(STATUS_FAILED, "%s cannot be given to the user of process %d: %s", session->folder,
            session->child, strerror(errno));
    snprintf(control->folder, sizeof control->folder, "%s", session->folder);
    control->backtrace = session->launch.options.backtrace;
    __atomic_add_fetch(&control->request, 1, __ATOMIC_RELEASE);
}

/* The process has ended, or its control file is another: it has become another program. */
static bool is_over(const struct target *target)
{
    struct stat status;
    struct pollfd end = {.fd = target->process, .events = POLLIN};
    return poll(&end, 1, 0) > 0 || stat(target->path, &status) != 0 ||
           status.st_ino != target->file;
}

/* What the process writes once it has been told to stop is not waited for. */
static void leave(struct session *session)
{
    for (unsigned i = 0; i < session->count; i++)
        recorder_leave(session->recorded[i].recorder);
    session_serve(session);
}

static void follow(struct session *session, const struct target *target)
{
    time_t start = time(NULL), looked = start;
    bool is_said = false, has_ended = false;
    while (!is_interrupted && !has_ended && !session->has_failed) {
        if (!session_serve(session))
            session_wait(session);
        time_t now = time(NULL);
        if (now != looked || (session->trace_count > 0 && session->count == 0))
            has_ended = is_over(target) || session->trace_count > session->count;
        looked = now;
        uint32_t refused = __atomic_load_n(&target->control->refused, __ATOMIC_ACQUIRE);
        if (session->trace_count == 0 && refused == target->control->request)
            die(STATUS_FAILED, "process %d cannot make a ring in %s: is that full?", session->child,
                session->folder);
        if (!is_said && session->trace_count == 0 && now > start + SECONDS_TO_WAIT) {
            say("process %d: waiting for its next call of the allocator", session->child);
            is_said = true;
        }
    }
    leave(session);
}

static void check(const struct session *session, int word_count)
{
    struct recording recording;
    const struct launch *launch = &session->launch;
    if (word_count > 0 || launch->options.pool_size || launch->options.has_granule ||
        launch->only || launch->options.is_paused || session->overhead_runs)
        die(STATUS_USAGE, "record: --pid takes no program, and no option for one");
    if (launch->has_unwind || launch->chooses_backtrace)
        die(STATUS_USAGE, "record: --backtrace is caller or fp with --pid");
    if (directory_find(session->child, &recording))
        die(STATUS_FAILED, "process %d is being recorded already, to %s", session->child,
            recording.trace);
}

int attach(struct session *session, int word_count)
{
    static char *no_command[] = {NULL};
    struct target target;
    struct sigaction action = {.sa_handler = interrupt}, ignore = {.sa_handler = SIG_IGN};
    check(session, word_count);
    live_sweep();
    open_target(&target, session->child);
    claim(&target, session);
    record_output_open(&session->output);
    session->command = no_command;
    session->is_attached = true;
    session_open(session);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    snapshots_start();
    ask(&target, session);
    follow(session, &target);
    __atomic_store_n(&target.control->recorder, 0, __ATOMIC_RELEASE);
    return session_end(session);
}

void live_sweep(void)
{
    glob_t found;
    if (glob("/dev/shm/ffalloc-live.*", 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        pid_t process = (pid_t)strtol(strrchr(found.gl_pathv[i], '.') + 1, NULL, 10);
        if (process > 0 && kill(process, 0) != 0 && errno == ESRCH)
            unlink(found.gl_pathv[i]);
    }
    globfree(&found);
}
