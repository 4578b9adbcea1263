/* SPDX-License-Identifier: MIT */
#include "directory.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "rings.h"
#include "session.h"

#define NAME "recorder"

void directory_note(const struct session *session)
{
    char path[PATH_MAX + 20], new[PATH_MAX + 20], folder[PATH_MAX];
    snprintf(path, sizeof path, "%s/" NAME, session->folder);
    snprintf(new, sizeof new, "%s/new", session->folder);
    FILE *file = fopen(new, "we");
    if (!file)
        return;
    if (!getcwd(folder, sizeof folder))
        folder[0] = '\0';
    fprintf(file, "%d %u %d %u\n", getpid(), session->snapshot_count, session->has_snapshot_failed,
            session->count);
    for (unsigned i = 0; i < session->count; i++) {
        const char *trace = recorder_trace(session->recorded[i].recorder);
        fprintf(file, "%u %s%s%s\n", recorder_process(session->recorded[i].recorder),
                *trace == '/' ? "" : folder, *trace == '/' ? "" : "/", trace);
    }
    fclose(file);
    rename(new, path);
}

/* Whether the file at `path` is of that process. */
static bool read_file(const char *path, pid_t process, struct recording *recording)
{
    FILE *file = fopen(path, "re");
    int has_failed = 0;
    bool is_found = false;
    *recording = (struct recording){0};
    if (!file)
        return false;
    if (fscanf(file, "%d %u %d %u\n", &recording->recorder, &recording->snapshot_count, &has_failed,
               &recording->process_count) == 4) {
        char line[sizeof recording->trace + 20];
        recording->has_failed = has_failed;
        is_found = recording->recorder == process;
        bool is_alive = kill(recording->recorder, 0) == 0 || errno == EPERM;
        while (is_alive && fgets(line, sizeof line, file)) {
            char *end;
            pid_t recorded = (pid_t)strtol(line, &end, 10);
            line[strcspn(line, "\n")] = '\0';
            if (*end == ' ' && (recorded == process || (is_found && !*recording->trace))) {
                is_found = true;
                recording->process = recorded;
                snprintf(recording->trace, sizeof recording->trace, "%s", end + 1);
            }
        }
    }
    fclose(file);
    return is_found && *recording->trace;
}

bool directory_find(pid_t process, struct recording *recording)
{
    bool is_found = false;
    for (unsigned i = 0; !is_found && rings_place(i); i++) {
        char pattern[PATH_MAX];
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s/ffalloc.*/" NAME, rings_place(i));
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t f = 0; !is_found && f < found.gl_pathc; f++)
            is_found = read_file(found.gl_pathv[f], process, recording);
        globfree(&found);
    }
    return is_found;
}
