/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "parse.h"
#include "text.h"

static void say_list(const char *format, va_list arguments)
{
    fflush(stdout);
    char line[1000];
    vsnprintf(line, sizeof line, format, arguments);
    char *shown = printable(line);
    fprintf(stderr, "ffalloc: %s\n", shown);
    free(shown);
}

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_list(format, arguments);
    va_end(arguments);
}

void die(enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_list(format, arguments);
    va_end(arguments);
    exit(status);
}

double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void finish_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        die(STATUS_FAILED, "cannot write to standard output: %s", strerror(errno));
}

/* The size that `text` is, a fraction of a unit included; false if it is none. */
static bool is_size(const char *text, uint64_t *size)
{
    uint64_t whole;
    double fraction = 0;
    if (!parse_number(&text, &whole))
        return false;
    if (text[0] == '.' && text[1] >= '0' && text[1] <= '9') {
        double weight = 0.1;
        for (text++; *text >= '0' && *text <= '9'; text++, weight /= 10)
            fraction += weight * (*text - '0');
    }
    unsigned shift = parse_unit(&text);
    uint64_t unit = (uint64_t)1 << shift;
    *size = (whole << shift) + (uint64_t)(fraction * (double)unit);
    return *text == '\0' && whole < ((uint64_t)1 << 53) / unit && (shift || fraction <= 0);
}

uint64_t parse_size_argument(const char *option, const char *text)
{
    uint64_t size;
    if (!is_size(text, &size) || size == 0)
        die(STATUS_USAGE, "%s: '%s' is no size (64K, 16M, 1.5G, 70001)", option, text);
    return size;
}

void parse_pool_argument(const char *text, char *value, size_t value_size)
{
    char *size = strdup(text);
    const char *device = text + strcspn(text, ":");
    size[device - text] = '\0';
    static const char *const devices[] = {"", ":cortex-m", ":rv32", ":cortex-m-small",
                                          ":rv32-small"};
    bool is_known = false;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        is_known |= strcmp(device, devices[i]) == 0;
    if (!is_known)
        die(STATUS_USAGE, "--pool: '%s' is no device (cortex-m, rv32, cortex-m-small, rv32-small)",
            device + 1);
    snprintf(value, value_size, "%ju%s", (uintmax_t)parse_size_argument("--pool", size), device);
    free(size);
}

pid_t parse_process_argument(const char *command, const char *text)
{
    uint64_t number;
    if (!parse_whole(text, &number) || number == 0 || number > INT32_MAX)
        die(STATUS_USAGE, "%s: '%s' is no process's number", command, text);
    return (pid_t)number;
}

size_t parse_granule_argument(const char *text)
{
    uint64_t granule;
    if (!is_size(text, &granule) || granule < 8 || granule > 4096 || granule & (granule - 1))
        die(STATUS_USAGE, "--granule: '%s' is no power of two from 8 to 4096", text);
    return (size_t)granule;
}

const char *person(uint64_t size)
{
    static char texts[8][24];
    static unsigned next;
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    char *text = texts[next++ % 8];
    double value = (double)size;
    unsigned unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(text, sizeof texts[0], unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

void *allocate(size_t size)
{
    void *block = calloc(1, size ? size : 1);
    if (!block)
        die(STATUS_FAILED, "out of memory");
    return block;
}

void *grow(void *block, size_t *count, size_t needed, size_t size)
{
    if (needed <= *count)
        return block;
    size_t before = *count;
    *count = needed < 1024 ? 1024 : needed + needed / 2;
    block = reallocarray(block, *count, size);
    if (!block)
        die(STATUS_FAILED, "out of memory");
    memset((char *)block + before * size, 0, (*count - before) * size);
    return block;
}

int temporary_file(void)
{
    FILE *file = tmpfile();
    if (!file)
        return -1;
    int descriptor = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
    fclose(file);
    return descriptor;
}

/* The folder of this command's file. */
static const char *own_folder(void)
{
    static char folder[PATH_MAX];
    if (folder[0])
        return folder;
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (length <= 0)
        die(STATUS_FAILED, "cannot find my own file: /proc is not mounted");
    folder[length] = '\0';
    *strrchr(folder, '/') = '\0';
    return folder;
}

/* The first of the folders, each beside the command's own, that has `name`; NULL if none does. */
static const char *look_for(const char *name, const char *const *folders, size_t count)
{
    static char path[PATH_MAX + 300];
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", own_folder(), folders[i], name);
        if (access(path, R_OK) == 0) {
            char *real = realpath(path, NULL);
            if (real)
                return real;
        }
    }
    return NULL;
}

static const char *find_part(const char *name, const char *const *folders, size_t count)
{
    const char *path = look_for(name, folders, count);
    if (path)
        return path;
    die(STATUS_FAILED, "%s is neither beside %s nor installed", name, own_folder());
}

static const char *const folders_64[] = {".", "../" FFALLOC_LIBDIR,
                                         "../" FFALLOC_LIBDIR "/ffalloc"};

bool has_library(const char *name)
{
    return look_for(name, folders_64, 3) != NULL;
}

const char *find_library(const char *name)
{
    return find_part(name, folders_64, 3);
}

static const char *const folders_32[] = {"ports/lib32", "../lib32"};

bool has_library_32(void)
{
    return look_for(PRELOAD_LIBRARY, folders_32, 2) != NULL;
}

const char *find_library_32(void)
{
    return find_part(PRELOAD_LIBRARY, folders_32, 2);
}

const char *find_views(void)
{
    static const char *const folders[] = {"tools/ffalloc", "../" FFALLOC_DATADIR "/ffalloc"};
    return find_part("views.py", folders, 2);
}
