/* SPDX-License-Identifier: MIT */
/* Where the traces of a recording go. */
#include "record_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

bool record_output_is_standard(const struct record_output *output)
{
    return strcmp(output->name, "-") == 0;
}

char *record_output_path(const struct record_output *output, unsigned process)
{
    char *path = allocate(strlen(output->name) * 6 + 1);
    char *end = path;
    for (const char *from = output->name; *from; from++) {
        if (from[0] == '%' && from[1] == 'p') {
            end += sprintf(end, "%u", process);
            from++;
        } else {
            *end++ = *from;
        }
    }
    return path;
}

/* Opens a pipe, or whatever has the output's name and is no regular file: it stays open until the
 * last trace is whole, or who reads it would take the program's first exec for the end. */
static void open_special(struct record_output *output)
{
    struct stat status;
    output->special = -1;
    if (record_output_is_standard(output) && isatty(1))
        die(STATUS_USAGE, "record: standard output is a terminal: -o - writes a trace there");
    bool is_special = stat(output->name, &status) == 0 && !S_ISREG(status.st_mode);
    if (record_output_is_standard(output))
        output->special = fcntl(1, F_DUPFD_CLOEXEC, 3);
    else if (is_special)
        output->special = open(output->name, O_WRONLY | O_CLOEXEC);
    if (output->special < 0 && (is_special || record_output_is_standard(output)))
        die(STATUS_FAILED, "%s cannot be written: %s",
            record_output_is_standard(output) ? "standard output" : output->name, strerror(errno));
}

/* Whether the trace can be written is found out before the program runs, not after. */
static void check(const struct record_output *output)
{
    char *path = record_output_path(output, 0);
    char *slash = strrchr(path, '/');
    if (access(path, F_OK) == 0 ? access(path, W_OK) != 0 : false)
        die(STATUS_FAILED, "%s cannot be written: %s", path, strerror(errno));
    if (slash)
        *slash = '\0';
    if (access(slash ? (slash == path ? "/" : path) : ".", W_OK) != 0)
        die(STATUS_FAILED, "%s cannot be written: %s", output->name, strerror(errno));
    free(path);
}

void record_output_open(struct record_output *output)
{
    open_special(output);
    if (output->special < 0)
        check(output);
}
