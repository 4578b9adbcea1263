/* SPDX-License-Identifier: MIT */
/*
 * Blocks of one thread freed by another, by way of the inbox of their shard.
 *
 *   remote order    what another thread freed is free before the owner's next request
 *   remote fork     also in a child that is forked meanwhile
 *   remote twice    a block freed by another thread and then by its owner: a double free
 *   remote inside   a pointer into a block, freed by another thread
 *   remote asked    a block freed by another thread, which then asks for its size
 *   remote left     a block of a thread that has ended, freed twice: seen at once, as nothing waits
 *   remote realloc  of live blocks, while another thread frees what is no block, also by the inbox
 *   remote moved    realloc moves blocks of another thread's pool: there they are free then
 *   remote size     malloc_usable_size of blocks whose neighbours their owner frees and places
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 1000

static void *blocks[COUNT];
static size_t shift;

static void *free_all(void *count)
{
    for (size_t i = 0; i < *(size_t *)count; i++)
        free((char *)blocks[i] + shift);
    return NULL;
}

static void run_thread(void *(*work)(void *argument), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, argument))
        abort();
    pthread_join(thread, NULL);
}

static void free_elsewhere(size_t count)
{
    run_thread(free_all, &count);
}

static void *do_nothing(void *nothing)
{
    return nothing;
}

static int fail(const char *what)
{
    fprintf(stderr, "remote: %s\n", what);
    return 1;
}

/* The same blocks come again, from the lowest address on, as if the owner had freed them. */
static int take_again(size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (malloc(48) != blocks[i])
            return fail("a block that was freed is not the lowest hole");
    return 0;
}

/* Until the owner is done, or a size is wrong. */
static int is_done;

static void *ask_sizes(void *nothing)
{
    while (!__atomic_load_n(&is_done, __ATOMIC_RELAXED))
        for (size_t i = 0; i < COUNT; i += 2)
            if (malloc_usable_size(blocks[i]) != 48)
                return "the size of a live block changed";
    return nothing;
}

/* Every other block goes and comes, 3 million times, in some 0.3 s. */
static int change_neighbours(void)
{
    pthread_t asker;
    if (pthread_create(&asker, NULL, ask_sizes, NULL))
        abort();
    for (unsigned round = 0; round < 6000; round++) {
        for (size_t i = 1; i < COUNT; i += 2)
            free(blocks[i]);
        for (size_t i = 1; i < COUNT; i += 2)
            blocks[i] = malloc(48);
    }
    __atomic_store_n(&is_done, 1, __ATOMIC_RELAXED);
    void *wrong;
    pthread_join(asker, &wrong);
    return wrong ? fail(wrong) : 0;
}

static void *free_wrongly(void *block)
{
    for (unsigned i = 0; i < 20000; i++)
        free((char *)block + 16);
    return NULL;
}

/* Each grows so far that it moves, or shrinks in place. */
static int resize(size_t i, size_t size)
{
    errno = 0;
    char *resized = realloc(blocks[i], size);
    if (resized)
        blocks[i] = resized;
    return resized && errno == 0 ? 0 : fail("a live block could not be resized");
}

static int resize_meanwhile(void)
{
    static char none[32];
    shift = 16;
    for (size_t size = 30; size < 3000; size *= 3) { /* what is told first waits in the inbox */
        free_elsewhere(1);
        if (resize(1, size))
            return 1;
    }
    for (int is_ours = 0; is_ours < 2; is_ours++) {
        pthread_t other;
        if (pthread_create(&other, NULL, free_wrongly, is_ours ? blocks[0] : none))
            abort();
        for (unsigned round = 0; round < 100000; round++)
            if (resize(1 + round % 9, round % 5 * 400 + 30))
                return 1;
        pthread_join(other, NULL);
    }
    return 0;
}

static void *free_and_ask(void *block)
{
    free(block);
    malloc_usable_size(block);
    return NULL;
}

static void *make_one(void *nothing)
{
    blocks[0] = malloc(48);
    return nothing;
}

static pthread_barrier_t meeting;

static void *own_blocks(void *nothing)
{
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = malloc(48);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    return nothing;
}

static int move_to_another_pool(void)
{
    pthread_t owner;
    pthread_barrier_init(&meeting, NULL, 2);
    if (pthread_create(&owner, NULL, own_blocks, NULL))
        abort();
    pthread_barrier_wait(&meeting);
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < COUNT; i++)
        free(realloc(blocks[i], 4096));
    size_t after = mallinfo2().uordblks;
    pthread_barrier_wait(&meeting);
    pthread_join(owner, NULL);
    return after + COUNT * 48 == before ? 0 : fail("what was moved away is still in use");
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    run_thread(do_nothing, NULL); /* what a thread needs is there now */
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = malloc(48);
    if (strcmp(what, "order") == 0) {
        for (size_t count = 1; count <= COUNT; count += count / 3 + 1) {
            free_elsewhere(count);
            if (take_again(count))
                return 1;
        }
        return 0;
    }
    if (strcmp(what, "realloc") == 0)
        return resize_meanwhile();
    if (strcmp(what, "moved") == 0)
        return move_to_another_pool();
    if (strcmp(what, "size") == 0)
        return change_neighbours();
    if (strcmp(what, "fork") == 0) {
        free_elsewhere(50);
        pid_t child = fork();
        if (child == 0)
            _exit(take_again(50));
        int status;
        if (waitpid(child, &status, 0) != child || status != 0)
            return fail("the child failed");
        return take_again(50);
    }
    if (strcmp(what, "twice") == 0) {
        free_elsewhere(1);
        free(blocks[0]);
    } else if (strcmp(what, "inside") == 0) {
        shift = 16;
        free_elsewhere(1);
        free(blocks[1]);
    } else if (strcmp(what, "asked") == 0) {
        run_thread(free_and_ask, blocks[0]);
    } else if (strcmp(what, "left") == 0) {
        run_thread(make_one, NULL);
        free(blocks[0]);
        free(blocks[0]);
    }
    return fail("nothing was noticed");
}
