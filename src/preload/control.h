/* SPDX-License-Identifier: MIT */
/*
 * How `ffalloc record --pid` reaches a process that runs with FFALLOC_LIVE=1: by a file of a page
 * that both have mapped, CONTROL_PATH with the process's number. The library looks there at each
 * call. No signal is used and nothing is written into the process.
 */
#ifndef FFALLOC_PRELOAD_CONTROL_H
#define FFALLOC_PRELOAD_CONTROL_H

#include <stdint.h>

#define CONTROL_MAGIC "fflive3"
#define CONTROL_PATH  "/dev/shm/ffalloc-live.%u"
#define CONTROL_SIZE  4096u

struct control {
    char magic[8];
    uint32_t process;
    uint32_t request;   /* counted up when the rest is written: record into that folder */
    uint32_t refused;   /* the last request for which no ring could be made */
    uint32_t recorder;  /* the process that records; the library does not look at it */
    uint32_t backtrace; /* enum backtrace */
    char folder[200];
};

#endif
