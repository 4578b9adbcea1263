/* SPDX-License-Identifier: MIT */
/* Pages that are closed, and SIGSEGV, seen before whoever handled it until then. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "os.h"

bool os_set_access(void *address, size_t size, bool has_access)
{
    int saved = errno;
    bool is_done = mprotect(address, size, has_access ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
    errno = saved;
    return is_done;
}

static void (*see)(const void *address);
static struct sigaction before;

/* Who had the signal has it now. By default, or where it was ignored, the process ends as the
 * instruction is tried again, so that a core file shows it. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else {
        struct sigaction usual = {.sa_handler = SIG_DFL};
        sigaction(signal, &usual, NULL);
        if (info->si_code <= 0) /* sent by somebody: there is no instruction to try again */
            raise(signal);
    }
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code > 0)
        see(info->si_addr);
    errno = saved;
    pass_on(signal, info, context);
}

void os_see_faults(void (*told)(const void *address))
{
    see = told;
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (sigaction(SIGSEGV, NULL, &before) == 0) {
        ours.sa_mask = before.sa_mask;
        sigaction(SIGSEGV, &ours, NULL);
    }
}

bool os_sees_faults(void)
{
    struct sigaction now;
    return sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
           now.sa_sigaction == on_fault;
}
