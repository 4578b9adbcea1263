/* SPDX-License-Identifier: MIT */
/* Everything the preload library asks of the system. Only os_linux.c makes system calls. */
#ifndef FFALLOC_PRELOAD_OS_H
#define FFALLOC_PRELOAD_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a page: a power of two. */
size_t os_page_size(void);

/* Maps `size` bytes (whole pages) without access, which takes neither memory nor a promise of any.
 * Returns NULL if and only if the system refuses. Keeps errno. */
void *os_hold(size_t size);

/* Lets whole pages of it be used: they read as zero and take memory only where they are touched.
 * False, with nothing changed, if and only if the system refuses. Keeps errno. */
bool os_allow(void *address, size_t size);

/* Maps whole pages that can be used at an address; false, with nothing changed, if and only if
 * something lies there or the system refuses. Keeps errno. */
bool os_open(void *address, size_t size);

/* Takes access to whole pages away, or gives it again; they keep what they hold. False if and only
 * if the system refuses. Keeps errno. */
bool os_set_access(void *address, size_t size, bool has_access);

/* From now on `told` is called with the address of each fault, before the signal's handler until
 * then, or the default one, has it. */
void os_see_faults(void (*told)(const void *address));

/* Whether that is still so: the program has not set a handler of its own. */
bool os_sees_faults(void);

/* Gives back what os_hold or os_open mapped, or either end of it. Keeps errno. */
void os_release(void *address, size_t size);

/* Gives the memory of these whole pages back; they read as zero from then on. False if the system
 * refuses, for locked pages for one: then they may hold what they held. Keeps errno. */
bool os_purge(void *address, size_t size);

/* Makes whole pages of a reservation read-only, or writable again. */
void os_protect(void *address, size_t size, bool is_read_only);

/* Sleeps while *word is `value`, for a millisecond at most. Keeps errno. */
void os_wait(unsigned *word, unsigned value);

/* Wakes one thread that sleeps on `word`. Keeps errno. */
void os_wake(unsigned *word);

/* Writes all of `text` to a descriptor, in one call if it can; false if it cannot. Keeps errno. */
bool os_write(int descriptor, const char *text, size_t length);

/* A descriptor that appends to a file, made if need be, closed at exec; -1 if it cannot. It waits
 * for nobody: not for who might read from a pipe, nor for room there. */
int os_open_log(const char *path);
void os_close(int descriptor);

/* Which file a descriptor stands for. Keeps errno. */
struct os_file {
    uint64_t device;
    uint64_t number; /* of all on the device */
    bool is_open;
};
struct os_file os_file(int descriptor);

/* Whether a line more does no harm there: it is open for writing only and no socket, or it is a
 * terminal or the like. Keeps errno. */
bool os_is_log(int descriptor);

/* Another descriptor for the same file, with a number that programs do not use, closed at exec;
 * -1 if there is none. */
int os_keep(int descriptor);

unsigned os_process_id(void);

/* A word of the random bytes that the kernel gives each program. */
uintptr_t os_secret(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
void os_now(uint64_t *nanoseconds);

/* Sleeps about so long. Keeps errno. */
void os_nap(unsigned microseconds);

/* Memory that reads as zero, now and again in a forked child; NULL if there is none. */
void *os_wiped_at_fork(size_t size);

/* Makes a file of `size` zeroes and maps it, shared with whoever opens it; a forked child does
 * not have it. NULL if it cannot. */
void *os_share(const char *path, size_t size);

/* Removes a file, if there is one. Keeps errno. */
void os_remove(const char *path);

/* Gives a file made by os_share the name under which another process looks for it: `path` with
 * ".ring" after it. */
void os_announce(const char *path);

/* What the process has mapped, as text: a descriptor, -1 if it cannot be read. */
int os_open_maps(void);

/* Reads up to `size` bytes; 0 at the end and if it cannot. Keeps errno. */
size_t os_read(int descriptor, char *text, size_t size);

/* Where the first thread's stack begins, at its high end. */
uintptr_t os_first_stack_end(void);

/*
 * The environment as the kernel handed it over, and the program's file name and argv[0]: there
 * before the C library has set its own up. `is_secure` means that the process has more rights
 * than its user (AT_SECURE).
 */
struct os_start {
    char **environment;
    const char *program;
    const char *argument;
    bool is_secure;
};
struct os_start os_start(void);

#endif
