/* SPDX-License-Identifier: MIT */
/* Recordings that another command needs for a while. */
#ifndef FFALLOC_TOOLS_RECORD_H
#define FFALLOC_TOOLS_RECORD_H

/* Records a run of a program, whose standard input and output are /dev/null, into a new file in a
 * folder of its own; returns its path. Ends with the status of `ffalloc record` if it cannot. */
char *record_temporarily(char **command);

/* The path of a file to be, in a new folder of its own. */
char *record_temporary_path(void);

/* Removes the file and its folder, and frees the path. */
void record_remove(char *path);

#endif
