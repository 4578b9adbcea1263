/* SPDX-License-Identifier: MIT */
/*
 * No function here is a cancellation point, as those of libc that write, open, read, close or sleep
 * are: a thread that ended in one would leave the lock that its call holds. A bare system call is
 * none.
 */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Where the kernel put argc, argv and the environment; the dynamic loader sets it first thing,
 * long before libc's own environ. */
extern void *__libc_stack_end;

size_t os_page_size(void)
{
    return (size_t)getauxval(AT_PAGESZ);
}

uintptr_t os_secret(void)
{
    uintptr_t word = 0;
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
    for (size_t i = 0; random && i < 16; i++) /* the bytes themselves are libc's stack protector */
        word = word * 0x01000193u ^ random[i];
    return word;
}

/* No function of libc's that a sanitizer could replace: it would be called before it is ready. */
static void *map(void *address, size_t size, int access, int flags)
{
#ifdef SYS_mmap2
    const long number = SYS_mmap2;
#else
    const long number = SYS_mmap;
#endif
    int saved = errno;
    flags |= MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *mapped = (void *)syscall(number, address, size, access, flags, -1, 0L);
    errno = saved;
    return mapped == MAP_FAILED ? NULL : mapped;
}

void *os_hold(size_t size)
{
    return map(NULL, size, PROT_NONE, 0);
}

/* Mapped anew: what mprotect allows memcheck goes through by bytes, 17 s and 1 GiB for 4 GiB. */
bool os_allow(void *address, size_t size)
{
    return map(address, size, PROT_READ | PROT_WRITE, MAP_FIXED) == address;
}

/* Before Linux 4.17 the address is but a wish where something lies there. */
bool os_open(void *address, size_t size)
{
    void *mapped = map(address, size, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
    if (mapped && mapped != address)
        os_release(mapped, size);
    return mapped && mapped == address;
}

/* Nothing is refused: what is given back is a mapping, or the end of one, which splits none. */
void os_release(void *address, size_t size)
{
    int saved = errno;
    if (size > 0)
        syscall(SYS_munmap, address, size);
    errno = saved;
}

bool os_purge(void *address, size_t size)
{
    int saved = errno;
    bool is_done = madvise(address, size, MADV_DONTNEED) == 0;
    errno = saved;
    return is_done;
}

void os_protect(void *address, size_t size, bool is_read_only)
{
    mprotect(address, size, is_read_only ? PROT_READ : PROT_READ | PROT_WRITE);
}

void os_wait(unsigned *word, unsigned value)
{
    int saved = errno;
    const long millisecond[2] = {0, 1000000}; /* the system call's own struct timespec */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, millisecond, NULL, 0);
    errno = saved;
}

void os_wake(unsigned *word)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}

bool os_write(int descriptor, const char *text, size_t length)
{
    int saved = errno;
    while (length > 0) {
        ssize_t written = syscall(SYS_write, descriptor, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        text += written;
        length -= (size_t)written;
    }
    errno = saved;
    return length == 0;
}

static int open_file(const char *path, int flags, int mode)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC | O_LARGEFILE, mode);
}

int os_open_log(const char *path)
{
    return open_file(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY, 0666);
}

void os_close(int descriptor)
{
    syscall(SYS_close, descriptor);
}

/* Not by libc's own function, as for a mapping. */
static bool read_status(int descriptor, struct stat *status)
{
#ifdef SYS_fstat64
    return syscall(SYS_fstat64, descriptor, status) == 0;
#else
    return syscall(SYS_fstat, descriptor, status) == 0;
#endif
}

struct os_file os_file(int descriptor)
{
    int saved = errno;
    struct stat status = {0};
    bool is_open = read_status(descriptor, &status);
    errno = saved;
    return (struct os_file){status.st_dev, status.st_ino, is_open};
}

bool os_is_log(int descriptor)
{
    int saved = errno;
    struct stat status;
    bool is_open = read_status(descriptor, &status);
    bool is_write_only = is_open && (fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_WRONLY;
    errno = saved;
    return is_open && (S_ISCHR(status.st_mode) || (is_write_only && !S_ISSOCK(status.st_mode)));
}

int os_keep(int descriptor)
{
    int saved = errno;
    int kept = fcntl(descriptor, F_DUPFD_CLOEXEC, 700);
    if (kept < 0)
        kept = fcntl(descriptor, F_DUPFD_CLOEXEC, 30);
    errno = saved;
    return kept;
}

unsigned os_process_id(void)
{
    return (unsigned)getpid();
}

void os_now(uint64_t *nanoseconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *nanoseconds = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void os_nap(unsigned microseconds)
{
    int saved = errno;
    const long time[2] = {0, (long)microseconds * 1000}; /* the system call's own struct timespec */
    syscall(SYS_nanosleep, time, NULL);
    errno = saved;
}

void *os_wiped_at_fork(size_t size)
{
    int saved = errno;
    size_t pages_size = (size + os_page_size() - 1) & ~(os_page_size() - 1);
    void *memory =
        mmap(NULL, pages_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        memory = NULL;
    if (memory && madvise(memory, pages_size, MADV_WIPEONFORK) != 0) {
        munmap(memory, pages_size);
        memory = NULL;
    }
    errno = saved;
    return memory;
}

/* Its pages are had now: a full file system would end the process at the first touch. */
static void *map_new_file(int descriptor, size_t size)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    bool is_full = posix_fallocate(descriptor, 0, (off_t)size) != 0;
    pthread_setcancelstate(state, NULL);
    if (is_full)
        return NULL;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, size, MADV_DONTFORK);
    return memory;
}

void *os_share(const char *path, size_t size)
{
    int saved = errno;
    int descriptor = open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    void *memory = descriptor < 0 ? NULL : map_new_file(descriptor, size);
    if (descriptor >= 0)
        os_close(descriptor);
    errno = saved;
    return memory;
}

void os_remove(const char *path)
{
    int saved = errno;
    unlink(path);
    errno = saved;
}

void os_announce(const char *path)
{
    int saved = errno;
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s.ring", path);
    rename(path, name);
    errno = saved;
}

int os_open_maps(void)
{
    return open_file("/proc/self/maps", O_RDONLY, 0);
}

size_t os_read(int descriptor, char *text, size_t size)
{
    int saved = errno;
    ssize_t length;
    do
        length = syscall(SYS_read, descriptor, text, size);
    while (length < 0 && errno == EINTR);
    errno = saved;
    return length < 0 ? 0 : (size_t)length;
}

uintptr_t os_first_stack_end(void)
{
    return (uintptr_t)__libc_stack_end;
}

struct os_start os_start(void)
{
    long argument_count = *(long *)__libc_stack_end;
    char **arguments = (char **)__libc_stack_end + 1;
    const char *program = (const char *)getauxval(AT_EXECFN);
    const char *first = argument_count > 0 ? arguments[0] : "";
    return (struct os_start){
        .environment = arguments + argument_count + 1,
        .program = program ? program : first,
        .argument = first,
        .is_secure = getauxval(AT_SECURE) != 0,
    };
}
