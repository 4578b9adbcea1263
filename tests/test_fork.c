/* SPDX-License-Identifier: MIT */
/*
 * What the preload library's fork handlers do, step by step, and the inbox in which a thread that
 * is gone had reserved a slot: no program can be made to fork at that very moment.
 */
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <unistd.h>

#include "../src/preload/fork.c"

#define SHARDS    2
#define EXPECT(c) expect(c, #c, __LINE__)

struct heap heap;
__thread struct shard *heap_home;
__thread struct shard *heap_plain_home;
__thread const char *heap_call;

static alignas(16) unsigned char memory[SHARDS][1 << 16];
static unsigned recorder_locked;
static unsigned samples_locked;
static unsigned failed_count;

static void expect(bool holds, const char *what, int line)
{
    if (!holds)
        printf("line %d: not %s\n", line, what);
    failed_count += !holds;
}

void record_prepare_fork(void)
{
    EXPECT(heap.shards[0].lock.state == 0); /* the recorder's comes before */
    recorder_locked++;
}

void record_end_fork(void)
{
    recorder_locked--;
}

void sample_prepare_fork(void)
{
    EXPECT(recorder_locked == 1 && heap.shards[0].lock.state == 0); /* between these two */
    samples_locked++;
}

void sample_end_fork(void)
{
    EXPECT(recorder_locked == 1);
    samples_locked--;
}

void heap_empty_inbox(struct shard *shard)
{
    EXPECT(!shard);
}

void heap_look(struct shard *shard)
{
    EXPECT(!shard);
}

static bool is_free(struct shard *shard, const void *address)
{
    struct ffalloc_block block;
    return ffalloc_find(shard->pool, address, &block) && !block.is_used;
}

static void start(void)
{
    heap = (struct heap){.shard_count = SHARDS};
    for (unsigned i = 0; i < SHARDS; i++) {
        heap.shards[i].pool = ffalloc_init(memory[i], sizeof memory[i]);
        heap.shards[i].frees_to_look = 1000;
        heap.shards[i].inbox.reader_count = 3;
    }
    heap_home = &heap.shards[1];
}

static unsigned count_locked(void)
{
    unsigned count = recorder_locked;
    for (unsigned i = 0; i < SHARDS; i++)
        count += heap.shards[i].lock.state;
    return count;
}

static void test_one_thread_takes_nothing(void)
{
    start();
    __libc_single_threaded = true;
    prepare();
    EXPECT(count_locked() == 0);
    end_in_parent();
    end_in_child();
    EXPECT(heap.shards[0].inbox.reader_count == 3);
}

static void test_the_parent_goes_on(void)
{
    start();
    unsigned turn = heap.shards[1].turn;
    prepare();
    EXPECT(count_locked() == SHARDS + 1);
    EXPECT(!turn_is_still(&heap.shards[1].turn, turn)); /* who looked without the lock sees it */
    end_in_parent();
    EXPECT(count_locked() == 0);
    end_in_parent(); /* of a fork that took nothing */
    EXPECT(recorder_locked == 0 && samples_locked == 0 && heap.shards[0].inbox.reader_count == 3);
}

static int registered;

static void *register_one(void *none)
{
    int error = __register_atfork(NULL, NULL, NULL, NULL);
    __atomic_store_n(&registered, 1, __ATOMIC_SEQ_CST);
    return error ? &registered : none;
}

/* libc's own lock of the list is held by whoever registers a handler, who may allocate. */
static void test_who_registers_a_handler_waits(void)
{
    pthread_t thread;
    void *error;
    start();
    prepare();
    EXPECT(pthread_create(&thread, NULL, register_one, NULL) == 0);
    usleep(100000);
    EXPECT(!__atomic_load_n(&registered, __ATOMIC_SEQ_CST));
    end_in_parent();
    EXPECT(pthread_join(thread, &error) == 0 && !error);
    EXPECT(registered && registering.state == 0);
}

static void test_the_child_is_alone(void)
{
    start();
    struct shard *shard = &heap.shards[0];
    void *blocks[INBOX_SLOTS];
    for (unsigned i = 0; i < 3; i++)
        blocks[i] = ffalloc_malloc(shard->pool, 100);
    EXPECT(inbox_put(&shard->inbox, blocks[0]));
    shard->inbox.tail++; /* reserved by a thread that is not there to fill it */
    EXPECT(inbox_put(&shard->inbox, blocks[1]));
    shard->inbox.tail++;
    prepare();
    shard->lock.sleepers = 1;
    end_in_child();
    EXPECT(count_locked() == 0 && shard->lock.sleepers == 0 && registering.state == 0);
    EXPECT(is_free(shard, blocks[0]) && is_free(shard, blocks[1]) && !is_free(shard, blocks[2]));
    EXPECT(shard->inbox.reader_count == 0 && heap.shards[1].inbox.reader_count == 1);
    for (unsigned i = 0; i < INBOX_SLOTS; i++) /* all of them serve again, in order */
        EXPECT(inbox_put(&shard->inbox, &blocks[i]));
    EXPECT(!inbox_put(&shard->inbox, blocks));
    for (unsigned i = 0; i < INBOX_SLOTS; i++) {
        EXPECT(inbox_next(&shard->inbox) == &blocks[i]);
        inbox_drop(&shard->inbox);
    }
    EXPECT(!inbox_next(&shard->inbox));
}

int main(void)
{
    test_one_thread_takes_nothing();
    __libc_single_threaded = false;
    test_the_parent_goes_on();
    test_who_registers_a_handler_waits();
    test_the_child_is_alone();
    return failed_count != 0;
}
