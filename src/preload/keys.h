/* SPDX-License-Identifier: MIT */
/*
 * How the library learns that a thread ends: by a key, as pthread_key_create makes 1024 for a
 * process. A program that wants the last one is given this. Threads that end from then on are not
 * told of, and stay counted in the pool that was their home: later threads spread less evenly.
 *
 * (__cxa_thread_atexit_impl takes no key, but it allocates, and it waits for the loader's lock: a
 * constructor that waits for a thread of its own, which allocates, would never end.)
 */
#ifndef FFALLOC_PRELOAD_KEYS_H
#define FFALLOC_PRELOAD_KEYS_H

/* Takes the key. `at_exit` is called in each thread that ends, with what it gave to keys_set. */
void keys_start(void (*at_exit)(void *value));

/* To be called in the thread's first call of malloc: the program has given it no values before. */
void keys_set(void *value);

#endif
