/* SPDX-License-Identifier: MIT */
/*
 * Which processes are being recorded, by whom and whereto: a file in each recorder's folder, which
 * only its user may read.
 */
#ifndef FFALLOC_TOOLS_DIRECTORY_H
#define FFALLOC_TOOLS_DIRECTORY_H

#include <stdbool.h>
#include <sys/types.h>

struct session;

/* Writes that file anew. */
void directory_note(const struct session *session);

struct recording {
    pid_t recorder;
    unsigned snapshot_count; /* that are whole, or have failed */
    bool has_failed;         /* the last one did */
    unsigned process_count;
    pid_t process;    /* the one asked for, or the recorder's first */
    char trace[4096]; /* its */
};

/* The recording whose recorder, or one of whose processes, has this number; false if none has. */
bool directory_find(pid_t process, struct recording *recording);

#endif
