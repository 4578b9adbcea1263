/* SPDX-License-Identifier: MIT */
/*
 * calloc's memory is zero, and no other byte changes: at every size where its way changes, wherever
 * the block begins in its page, below, across and above what was ever used; and whatever the system
 * answers when memory is to be given back.
 *
 *   zeroed sizes | locked | lockall | refused | quiet
 *   zeroed holes      what lies around holes keeps each byte as they are given back
 *
 * refused, quiet: madvise fails by a seccomp filter, or does nothing and tells of success.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define MIB   ((size_t)1 << 20)
#define PAGE  4096
#define PURGE (2 * MIB) /* CLEAR_BY_PURGE of the library */
#define GUARD 5000      /* bytes of the live blocks around */

static void (*volatile release)(void *block) = free;

static void fail(const char *what, size_t size, size_t shift, size_t at)
{
    fprintf(stderr, "zeroed: %s: %zu bytes, shift %zu, at byte %zu\n", what, size, shift, at);
    exit(1);
}

/* The first of `size` bytes that is not `value`; `size` if none is. */
static size_t first_other(const unsigned char *bytes, int value, size_t size)
{
    size_t i = 0;
    if (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0)
        return size;
    while (i < size && bytes[i] == value)
        i++;
    return i;
}

static unsigned char *take(size_t size, int value)
{
    unsigned char *block = malloc(size);
    if (!block)
        fail("no memory", size, 0, 0);
    return memset(block, value, size);
}

static void expect(const char *what, const unsigned char *block, int value, size_t size,
                   size_t shift)
{
    size_t at = first_other(block, value, size);
    if (at < size)
        fail(what, size, shift, at);
}

/* A hole of used memory between two live blocks, of which calloc takes the front. The blocks before
 * it move it by `shift` bytes. */
static void clear_in_hole(size_t size, size_t shift)
{
    unsigned char *moved = take(shift + 1, 1);
    unsigned char *left = take(GUARD, 2);
    unsigned char *dirty = take(size + GUARD, 0xff);
    unsigned char *right = take(GUARD, 3);
    release(dirty);
    unsigned char *zeroed = calloc(1, size);
    if (zeroed != dirty)
        fail("not in the hole", size, shift, 0);
    expect("not zero", zeroed, 0, size, shift);
    memset(zeroed, 4, size);
    expect("the block on the left", left, 2, GUARD, shift);
    expect("the block on the right", right, 3, GUARD, shift);
    release(right);
    release(zeroed);
    release(left);
    release(moved);
}

/* The last `size` bytes ever used are free, and calloc takes them and `more` bytes. */
static void clear_at_mark(size_t size, ptrdiff_t more, size_t shift)
{
    unsigned char *moved = take(shift + 1, 1);
    size_t below = mallinfo2().fordblks;
    release(take(below + size, 0xff));
    unsigned char *left = take(below, 2);
    size_t asked = size + (size_t)more;
    unsigned char *zeroed = calloc(1, asked);
    if (zeroed != left + (below + 15) / 16 * 16)
        fail("not at the mark", asked, shift, 0);
    expect("not zero at the mark", zeroed, 0, asked, shift);
    expect("the block below", left, 2, below, shift);
    release(zeroed);
    release(left);
    release(moved);
}

static void clear_all_sizes(void)
{
    static const size_t bases[] = {2 * PAGE, PURGE, PURGE + PAGE};
    static const ptrdiff_t offsets[] = {-PAGE - 1, -PAGE, -17, -16, -1, 0, 1, 16, 17, PAGE - 1};
    static const size_t shifts[] = {0, 2032, 4064, 4080};
    static const ptrdiff_t beyond[] = {-PAGE, -16, 0, 16, PAGE, 2 * PAGE + 16};
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++)
        for (size_t s = 0; s < sizeof shifts / sizeof *shifts; s++) {
            for (size_t o = 0; o < sizeof offsets / sizeof *offsets; o++)
                clear_in_hole(bases[b] + (size_t)offsets[o], shifts[s]);
            for (size_t m = 0; m < sizeof beyond / sizeof *beyond; m++)
                clear_at_mark(bases[b], beyond[m], shifts[s]);
        }
}

/* A page in the middle of a freed block stays locked, or all that there is. */
static void clear_locked(int is_all)
{
    unsigned char *dirty = take(4 * MIB, 0xff);
    unsigned char *page = dirty + (PAGE - (uintptr_t)dirty % PAGE) + 2 * MIB;
    if (is_all ? mlockall(MCL_CURRENT) : mlock(page, PAGE)) {
        puts("locks nothing here");
        exit(77);
    }
    release(dirty);
    clear_in_hole(4 * MIB, 16);
    clear_in_hole(4 * MIB, 2032);
}

/* From here on madvise fails with `error`; 0: it does nothing. */
static void refuse_madvise(unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        puts("no seccomp here");
        exit(77);
    }
}

/* free keeps errno, also where it gives memory back and the system refuses that. */
static void keep_errno(void)
{
    unsigned char *dirty = take(100 * MIB, 1);
    release(take(1, 1));
    errno = 77;
    release(dirty);
    if (errno != 77)
        fail("errno after free", 100 * MIB, 0, (size_t)errno);
}

#define BLOCKS 400

/* Holes of each size from half a page to some pages, with live blocks between them that begin and
 * end anywhere in a page. */
static void give_holes_back(void)
{
    unsigned char *blocks[BLOCKS];
    size_t sizes[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        sizes[i] = i % 2 ? 1000 + i * 48 : 2000 + i * 112;
        blocks[i] = take(sizes[i], (int)(i % 251) + 1);
    }
    for (size_t i = 0; i < BLOCKS; i += 2)
        release(blocks[i]);
    if (!malloc_trim(0))
        fail("nothing was given back", 0, 0, 0);
    for (size_t i = 1; i < BLOCKS; i += 2)
        expect("a block beside holes", blocks[i], (int)(i % 251) + 1, sizes[i], i);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "sizes") == 0)
        clear_all_sizes();
    else if (strcmp(what, "locked") == 0)
        clear_locked(0);
    else if (strcmp(what, "lockall") == 0)
        clear_locked(1);
    else if (strcmp(what, "holes") == 0)
        give_holes_back();
    else if (strcmp(what, "refused") == 0 || strcmp(what, "quiet") == 0) {
        refuse_madvise(what[0] == 'r' ? 1 : 0);
        clear_in_hole(4 * MIB, 16);
        clear_all_sizes();
        keep_errno();
    } else
        return 2;
    puts("end");
    return 0;
}
