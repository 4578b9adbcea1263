/* SPDX-License-Identifier: MIT */
/*
 * A misuse of one kind among random calls, and what comes of it.
 *
 *   misused KIND SEED     the kinds: misused list
 *
 * Prints "caught" if the library ended the process by its message, and "harmed" if by then, or by
 * the end, a live block does not hold what was written to it, or two lie in one place.
 */
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS  200
#define LARGEST 300

static void (*volatile release)(void *address) = free;
static void *(*volatile resize)(void *address, size_t size) = realloc;
static size_t (*volatile usable)(void *address) = malloc_usable_size;
__attribute__((weak)) void free_sized(void *block, size_t size);

static struct slot {
    unsigned char *block; /* NULL: none */
    size_t size;
    unsigned char fill;
} slots[BLOCKS];

static uint64_t state;
static volatile size_t sink;

static size_t draw(size_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % limit;
}

static size_t between(size_t least, size_t most)
{
    return least + draw(most - least + 1);
}

static void fill(struct slot *slot, unsigned char *block, size_t size)
{
    *slot = (struct slot){block, size, (unsigned char)draw(256)};
    memset(block, slot->fill, size);
}

static void place(struct slot *slot)
{
    size_t size = between(1, LARGEST);
    fill(slot, malloc(size), size);
}

static int is_harmed_slot(const struct slot *slot)
{
    for (size_t i = 0; slot->block && i < slot->size; i++)
        if (slot->block[i] != slot->fill)
            return 1;
    return 0;
}

static int is_harmed(void)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        if (is_harmed_slot(&slots[i]))
            return 1;
    return 0;
}

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(3);
}

static void end(int number)
{
    if (number == SIGABRT)
        say("caught\n");
    else
        say("crashed\n");
    if (is_harmed())
        say("harmed\n");
    _exit(0);
}

/* A slot with a block; it is of no interest any more. */
static struct slot take(void)
{
    struct slot *slot;
    do
        slot = &slots[draw(BLOCKS)];
    while (!slot->block);
    struct slot taken = *slot;
    slot->block = NULL;
    return taken;
}

/* Takes the block out of a slot, for it to be freed or moved: it must be as it was written. */
static unsigned char *give_up(struct slot *slot)
{
    unsigned char *block = slot->block;
    if (is_harmed_slot(slot)) {
        say("harmed\n");
        _exit(0);
    }
    slot->block = NULL;
    return block;
}

static void call(void)
{
    struct slot *slot = &slots[draw(BLOCKS)];
    if (!slot->block) {
        place(slot);
    } else if (draw(4) == 0) {
        size_t size = between(1, LARGEST);
        fill(slot, resize(give_up(slot), size), size);
    } else {
        release(give_up(slot));
    }
}

static void calls(size_t count)
{
    while (count-- > 0)
        call();
}

static void scribble(unsigned char *start, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((volatile unsigned char *)start)[i] = (unsigned char)draw(256);
}

/* Kinds --------------------------------------------------------------------------------- */

static void overflow(void)
{
    struct slot *slot = &slots[draw(BLOCKS)];
    if (!slot->block)
        place(slot);
    scribble(slot->block + slot->size, between(1, 64));
}

static void overflow_by_zero(void)
{
    struct slot *slot = &slots[draw(BLOCKS)];
    if (!slot->block)
        place(slot);
    slot->block[slot->size] = 0;
}

static void overflow_far(void)
{
    struct slot *slot = &slots[draw(BLOCKS)];
    if (!slot->block)
        place(slot);
    scribble(slot->block + slot->size + draw(64), 1);
}

/* Of a block of its own, which is freed some calls later. */
static void overflow_and_free(unsigned char *block, size_t size)
{
    scribble(block + size, between(1, 64));
    calls(20);
    release(block);
}

static void overflow_of_zeroed(void)
{
    size_t size = between(1, LARGEST);
    overflow_and_free(calloc(1, size), size);
}

static void overflow_of_shrunk(void)
{
    struct slot slot = take();
    size_t size = between(1, slot.size);
    overflow_and_free(resize(slot.block, size), size);
}

static void overflow_of_aligned(void)
{
    size_t size = between(1, LARGEST);
    overflow_and_free(aligned_alloc(64, size), size);
}

static void underflow(void)
{
    struct slot *slot = &slots[draw(BLOCKS)];
    if (!slot->block)
        place(slot);
    size_t size = between(1, 64);
    scribble(slot->block - size, size);
}

static void underflow_far(void)
{
    struct slot *slot = &slots[draw(BLOCKS)];
    if (!slot->block)
        place(slot);
    scribble(slot->block - between(1, 64), 1);
}

static void write_after_free(void)
{
    struct slot slot = take();
    release(slot.block);
    scribble(slot.block, between(1, slot.size));
}

static void write_after_free_later(void)
{
    struct slot slot = take();
    release(slot.block);
    calls(between(1, 20));
    scribble(slot.block, between(1, slot.size));
}

static void write_after_realloc(void)
{
    struct slot slot = take();
    unsigned char *moved = resize(slot.block, 5000);
    memset(moved, 1, 5000);
    if (moved != slot.block)
        scribble(slot.block, between(1, slot.size));
    else
        _exit(4);
}

static void double_free(void)
{
    struct slot slot = take();
    release(slot.block);
    release(slot.block);
}

static void double_free_later(void)
{
    struct slot slot = take();
    release(slot.block);
    calls(between(1, 20));
    release(slot.block);
}

/* Until the memory is given out again, or it is not. */
static void double_free_after_reuse(void)
{
    struct slot slot = take();
    release(slot.block);
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (!slots[i].block)
            fill(&slots[i], malloc(slot.size), slot.size);
        if (slots[i].block == slot.block)
            break;
    }
    release(slot.block);
}

static void double_free_of_moved(void)
{
    struct slot slot = take();
    if (resize(slot.block, 5000) == (void *)slot.block)
        _exit(4);
    calls(5);
    release(slot.block);
}

static void interior_free(void)
{
    struct slot slot = take();
    release(slot.block + between(1, slot.size));
}

static void free_of_end(void)
{
    struct slot slot = take();
    release(slot.block + usable(slot.block));
}

static void free_of_granule_inside(void)
{
    struct slot slot = take();
    release(slot.block + 16);
}

static void free_of_stack(void)
{
    char local[64];
    release(local + draw(64));
}

static void free_of_static(void)
{
    release((char *)slots + draw(sizeof slots));
}

static void free_of_wild(void)
{
    release((void *)(uintptr_t)between(1, 1 << 20));
}

static void realloc_of_freed(void)
{
    struct slot slot = take();
    release(slot.block);
    sink = resize(slot.block, between(1, LARGEST)) != NULL;
}

static void realloc_of_freed_later(void)
{
    struct slot slot = take();
    release(slot.block);
    calls(between(1, 20));
    sink = resize(slot.block, between(1, LARGEST)) != NULL;
}

static void realloc_of_interior(void)
{
    struct slot slot = take();
    sink = resize(slot.block + between(1, slot.size), between(1, LARGEST)) != NULL;
}

static void size_of_freed(void)
{
    struct slot slot = take();
    release(slot.block);
    sink = usable(slot.block);
}

static void wrong_size(void)
{
    struct slot slot = take();
    size_t size;
    do
        size = between(1, LARGEST);
    while (size == slot.size);
    if (!free_sized)
        _exit(4);
    free_sized(slot.block, size);
}

static void wrong_size_by_one(void)
{
    struct slot slot = take();
    if (!free_sized)
        _exit(4);
    free_sized(slot.block, slot.size + 1);
}

static const struct {
    const char *name;
    void (*apply)(void);
} kinds[] = {
    {"overflow", overflow},
    {"overflow-by-zero", overflow_by_zero},
    {"overflow-far", overflow_far},
    {"overflow-of-zeroed", overflow_of_zeroed},
    {"overflow-of-shrunk", overflow_of_shrunk},
    {"overflow-of-aligned", overflow_of_aligned},
    {"underflow", underflow},
    {"underflow-far", underflow_far},
    {"write-after-free", write_after_free},
    {"write-after-free-later", write_after_free_later},
    {"write-after-realloc", write_after_realloc},
    {"double-free", double_free},
    {"double-free-later", double_free_later},
    {"double-free-after-reuse", double_free_after_reuse},
    {"double-free-of-moved", double_free_of_moved},
    {"interior-free", interior_free},
    {"free-of-end", free_of_end},
    {"free-of-granule-inside", free_of_granule_inside},
    {"free-of-stack", free_of_stack},
    {"free-of-static", free_of_static},
    {"free-of-wild", free_of_wild},
    {"realloc-of-freed", realloc_of_freed},
    {"realloc-of-freed-later", realloc_of_freed_later},
    {"realloc-of-interior", realloc_of_interior},
    {"size-of-freed", size_of_freed},
    {"wrong-size", wrong_size},
    {"wrong-size-by-one", wrong_size_by_one},
    {"none", NULL},
};

#define KINDS (sizeof kinds / sizeof *kinds)

static void list(void)
{
    for (size_t i = 0; i + 1 < KINDS; i++)
        puts(kinds[i].name);
}

int main(int argc, char **argv)
{
    size_t kind = 0;
    if (argc < 3) {
        list();
        return 0;
    }
    while (kind < KINDS && strcmp(argv[1], kinds[kind].name) != 0)
        kind++;
    if (kind == KINDS)
        return 2;
    signal(SIGABRT, end);
    signal(SIGSEGV, end);
    signal(SIGBUS, end);
    state = strtoull(argv[2], NULL, 10) * 7919 + 1;
    for (unsigned i = 0; i < BLOCKS; i++)
        place(&slots[i]);
    calls(between(300, 600));
    if (kinds[kind].apply)
        kinds[kind].apply();
    calls(300);
    for (unsigned i = 0; i < BLOCKS; i++)
        release(give_up(&slots[i]));
    return 0;
}
