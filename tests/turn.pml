/* SPDX-License-Identifier: MIT */
/*
 * A model of the turns of src/preload/lock.h for spin: one thread places and frees the neighbour of
 * a block with the lock held, another looks where the block ends without it. Verified for every
 * interleaving of the atomic steps: a look that holds has seen the end, which is where a block
 * starts or a granule is free, at every moment. The C code's fences make its steps appear in program
 * order where the other thread relies on it, as here.
 *
 *   spin -a turn.pml && cc -o pan pan.c && ./pan
 */
#define ROUNDS 3
#define LOOKS  2

bit state; /* the lock: 1 held */
byte turn;
bit used; /* of the neighbour's first granule */
bit starts;

active proctype owner()
{
    byte round = 0;
    do
    :: round < ROUNDS * 2 ->
        atomic { state == 0 -> state = 1 }
        turn = turn + 1;
        used = 1 - used;
        starts = 1 - starts;
        state = 0;
        round++
    :: else -> break
    od
}

active proctype looker()
{
    byte look = 0;
    byte now;
    bit seen_used;
    bit seen_starts;
    do
    :: look < LOOKS ->
        now = turn;
        if
        :: state == 0 ->
            if
            :: seen_used = used; seen_starts = starts
            :: seen_starts = starts; seen_used = used
            fi;
            if
            :: turn == now -> assert(seen_starts || !seen_used)
            :: else -> skip
            fi
        :: else -> skip
        fi;
        look++
    :: else -> break
    od
}
