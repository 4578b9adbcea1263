/* SPDX-License-Identifier: MIT */
/*
 * A model of src/preload/inbox.h for spin: two writers leave three blocks each in a ring of two
 * slots, one reader takes them. Verified for every interleaving of the atomic steps: no block is
 * lost, taken twice or overwritten, and each writer's blocks come in its order. The C code's acquire
 * and release make its steps appear in program order where another thread relies on it, as here.
 *
 *   spin -a inbox.pml && cc -o pan pan.c && ./pan
 */
#define SLOTS   2
#define WRITERS 2
#define BLOCKS  3 /* of each writer; block w * 16 + n is its nth, from 1 */

byte slots[SLOTS]; /* 0: empty */
byte head;
byte tail;
byte head_seen;
byte last_taken[WRITERS];
byte taken_count;

proctype writer(byte number)
{
    byte block = 1;
    byte my_tail;
    byte seen_head;
    bool has_moved;
    do
    :: block <= BLOCKS ->
        my_tail = tail;
        has_moved = false;
        do
        :: !has_moved ->
            seen_head = head_seen;
            if
            :: my_tail - seen_head >= SLOTS -> seen_head = head; head_seen = seen_head
            :: else -> skip
            fi;
            if
            :: my_tail - seen_head >= SLOTS -> my_tail = tail /* full: try again */
            :: else ->
                atomic { /* the compare-and-exchange */
                    if
                    :: tail == my_tail -> tail = my_tail + 1; has_moved = true
                    :: else -> my_tail = tail
                    fi
                }
            fi
        :: has_moved -> break
        od;
        assert(slots[my_tail % SLOTS] == 0);
        slots[my_tail % SLOTS] = number * 16 + block;
        block++
    :: else -> break
    od
}

active proctype reader()
{
    byte block;
    run writer(0);
    run writer(1);
    do
    :: taken_count < WRITERS * BLOCKS ->
        block = slots[head % SLOTS];
        if
        :: block == 0 -> skip
        :: else ->
            slots[head % SLOTS] = 0;
            head = head + 1;
            assert(block % 16 == last_taken[block / 16] + 1);
            last_taken[block / 16] = block % 16;
            taken_count++
        fi
    :: else -> break
    od;
    assert(head == tail && slots[0] == 0 && slots[1] == 0)
}
