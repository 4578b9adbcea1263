/* SPDX-License-Identifier: MIT */
/*
 * A model of the lock of src/preload/lock.h for spin: threads take it and give it back, without the
 * turns spent in looking again. The store that gives it back waits in the processor's buffer, at most
 * until that thread's next exchange. Time passes when nobody can do anything else: then a sleep ends
 * by itself. Verified for every interleaving: two threads never hold the lock, and all get it.
 *
 *   spin -a lock.pml && cc -o pan pan.c && ./pan
 */
#define THREADS 3
#define ROUNDS  2

bit state;    /* 1 held */
bit sleepers; /* 1 somebody may sleep */
bit is_pending[THREADS]; /* state = 0, in that thread's processor */
bit is_asleep[THREADS];
byte holder_count;

/* That thread's store is seen by all. */
#define drain(thread) \
    atomic { if :: is_pending[thread] -> is_pending[thread] = 0; state = 0 :: else -> skip fi }

/* An exchange: what is in the buffer comes first. */
#define try(got) \
    drain(_pid); \
    atomic { if :: state == 0 -> state = 1; got = 1 :: else -> got = 0 fi }

active [THREADS] proctype thread()
{
    byte round = 0;
    bit is_mine;
    do
    :: round < ROUNDS ->
        try(is_mine);
        do
        :: is_mine -> break
        :: else ->
            sleepers = 1;
            try(is_mine);
            if
            :: is_mine -> break
            :: else ->
                atomic { if :: sleepers == 1 -> is_asleep[_pid] = 1 :: else -> skip fi };
                if
                :: is_asleep[_pid] == 0
                :: timeout -> is_asleep[_pid] = 0
                fi
            fi
        od;

        atomic { is_mine = 0; holder_count++; assert(holder_count == 1) };
        atomic { holder_count--; is_pending[_pid] = 1 };
        if
        :: sleepers == 1 ->
            drain(_pid);
            if
            :: atomic { sleepers == 1 -> sleepers = 0 };
                if
                :: atomic { is_asleep[0] -> is_asleep[0] = 0 }
                :: atomic { is_asleep[1] -> is_asleep[1] = 0 }
                :: atomic { is_asleep[2] -> is_asleep[2] = 0 }
                :: else -> skip
                fi
            :: else -> skip
            fi
        :: else -> skip
        fi;
        round++
    :: else -> break
    od
}

/* A processor's buffer is empty sooner or later. */
active proctype buffers()
{
end:
    do
    :: is_pending[0] -> drain(0)
    :: is_pending[1] -> drain(1)
    :: is_pending[2] -> drain(2)
    od
}
