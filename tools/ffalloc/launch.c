/* SPDX-License-Identifier: MIT */
#include "launch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "command.h"

/* The settings have this length, filled up with spaces, whatever they are: the environment is part
 * of a program's input, and a run must be the same as the recorded one. */
#define SETTINGS_LENGTH 240

#define SCRIPT_DEPTH 4

static bool is_32_bit; /* the program looked at last */

struct launch launch_default(void)
{
    return (struct launch){.options = options_default()};
}

void launch_set(struct launch *launch, const char *flag, const char *name, const char *value,
                const char *what)
{
    if (strchr(value, ' ') || !options_take(&launch->options, name, value))
        die(STATUS_USAGE, "%s: '%s' is %s", flag, value, what);
    size_t length = strlen(launch->settings);
    int added = snprintf(launch->settings + length, sizeof launch->settings - length, "%s%s=%s",
                         length ? " " : "", name, value);
    if (length + (size_t)added > SETTINGS_LENGTH)
        die(STATUS_USAGE, "%s: '%s' is too long", flag, value);
}

static const struct argp_option options[] = {
    {"pool", 'p', "SIZE", 0,
     "exactly so much memory, metadata included, such as 64K, or 64K:cortex-m for what that device "
     "makes of it (rv32, cortex-m-small, rv32-small); else as much as there is",
     0},
    {"granule", 'g', "BYTES", 0, "8 to 4096; default 16, of a device 8", 0},
    {"only", 'O', "NAME[,NAME]", 0, "only programs of these names; libc's malloc serves the others",
     0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct launch *launch = state->input;
    char value[40];
    switch (key) {
    case 'p':
        parse_pool_argument(text, value, sizeof value);
        launch_set(launch, "--pool", "POOL", value, "no size of a pool");
        break;
    case 'g':
        snprintf(value, sizeof value, "%zu", parse_granule_argument(text));
        launch_set(launch, "--granule", "GRANULE", value, "no granule");
        break;
    case 'O':
        if (!*text)
            die(STATUS_USAGE, "--only: no name is given");
        launch->only = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp launch_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

void launch_check(const struct launch *launch, const char *command, int first, int argc)
{
    if (first >= argc)
        die(STATUS_USAGE, "%s: no program is named; try ffalloc %s -- PROGRAM", command, command);
    const struct options *asked = &launch->options;
    if (asked->pool_size && options_pool_memory(asked) == 0)
        die(STATUS_USAGE, "--pool: no pool of %zu-byte granules can have %zu bytes",
            options_granule(asked), asked->pool_size);
}

/* What cannot be reserved now cannot be then. */
static void try_pool(const struct options *asked)
{
    size_t size = asked->pool_size ? options_pool_memory(asked) : 0;
    bool is_too_large = is_32_bit && size >= (size_t)1 << 31;
    void *memory = MAP_FAILED;
    if (size == 0)
        return;
    if (!is_too_large)
        memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die(STATUS_FAILED, "--pool: %s of address space cannot be had here", person(size));
    munmap(memory, size);
}

static bool is_program(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

/* As execvp finds it. */
static const char *look_up(const char *program)
{
    static char path[PATH_MAX];
    const char *folders = getenv("PATH");
    if (strchr(program, '/')) {
        if (access(program, F_OK) != 0)
            die(STATUS_NOT_FOUND, "%s: %s", program, strerror(errno));
        if (!is_program(program))
            die(STATUS_CANNOT_RUN, "%s is no program that you may run", program);
        return program;
    }
    folders = folders ? folders : "/usr/local/bin:/usr/bin:/bin";
    while (*program) {
        int length = (int)strcspn(folders, ":");
        snprintf(path, sizeof path, "%.*s%s%s", length, folders, length ? "/" : "./", program);
        if (is_program(path))
            return path;
        if (!folders[length])
            break;
        folders += length + 1;
    }
    die(STATUS_NOT_FOUND, "%s: no such program on the PATH", program);
}

static void check_rights(const char *path)
{
    struct stat status;
    bool is_other_user =
        stat(path, &status) == 0 && ((status.st_mode & S_ISUID && status.st_uid != geteuid()) ||
                                     (status.st_mode & S_ISGID && status.st_gid != getegid()));
    if (is_other_user || (geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0))
        die(STATUS_CANNOT_RUN,
            "%s runs with more rights than yours (set-user-ID or the like): "
            "the loader would ignore libffalloc.so",
            path);
}

static void check_elf(const char *path, const unsigned char *bytes, size_t size)
{
    unsigned class = bytes[EI_CLASS];
    is_32_bit = class == ELFCLASS32;
    if (is_32_bit && !has_library_32())
        die(STATUS_CANNOT_RUN, "%s is a 32-bit program, and there is no libffalloc.so for these",
            path);
    Elf64_Ehdr header;
    Elf32_Ehdr header_32;
    memcpy(&header, bytes, sizeof header);
    memcpy(&header_32, bytes, sizeof header_32);
    bool is_64 = class == ELFCLASS64;
    uint64_t at = is_64 ? header.e_phoff : header_32.e_phoff;
    unsigned count = is_64 ? header.e_phnum : header_32.e_phnum;
    unsigned step = is_64 ? header.e_phentsize : header_32.e_phentsize;
    for (; count > 0 && at <= size - sizeof(uint32_t); count--, at += step) {
        uint32_t type;
        memcpy(&type, bytes + at, sizeof type);
        if (type == PT_INTERP)
            return;
    }
    die(STATUS_CANNOT_RUN, "%s is linked statically: no library can be loaded into it", path);
}

/* Looks at the program, or at the interpreter that its first line names. */
static void check_program(const char *path, unsigned depth)
{
    union {
        unsigned char bytes[8192];
        char text[8192];
    } start = {{0}};
    check_rights(path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return; /* may be run but not read: the kernel will tell */
    ssize_t size = read(descriptor, start.bytes, sizeof start - 1);
    close(descriptor);
    if (size > 64 && memcmp(start.bytes, ELFMAG, SELFMAG) == 0) {
        check_elf(path, start.bytes, (size_t)size);
    } else if (size > 2 && memcmp(start.text, "#!", 2) == 0 && depth < SCRIPT_DEPTH) {
        char *interpreter = start.text + 2 + strspn(start.text + 2, " \t");
        interpreter[strcspn(interpreter, " \t\n")] = '\0';
        check_program(interpreter, depth + 1);
    } else if (size >= 0) {
        die(STATUS_CANNOT_RUN, "%s is neither an ELF program nor a script", path);
    }
}

const char *launch_find(const char *program)
{
    const char *path = look_up(program);
    check_program(path, 0);
    return path;
}

const char *launch_choose_backtrace(struct launch *launch)
{
    if (!launch->chooses_backtrace)
        return NULL;
    launch->chooses_backtrace = false;
    launch->has_unwind = !is_32_bit && has_library(UNWIND_LIBRARY);
    launch_set(launch, "--backtrace", "BACKTRACE", launch->has_unwind ? "unwind" : "fp",
               "too long");
    return launch->has_unwind ? "unwind"
           : is_32_bit        ? "fp, as the program has 32 bits"
                              : "fp, as " UNWIND_LIBRARY " is not installed";
}

/* In front of what is preloaded already. */
static void preload(const char *library)
{
    char text[PATH_MAX * 2];
    const char *before = getenv("LD_PRELOAD");
    if (strpbrk(library, " :"))
        die(STATUS_FAILED, "%s has a space or colon in its path: the loader cannot preload it",
            library);
    snprintf(text, sizeof text, "%s%s%s", library, before && *before ? ":" : "",
             before ? before : "");
    setenv("LD_PRELOAD", text, 1);
}

/* AddressSanitizer's runtime wants to be first; behind us it works as well. */
static void allow_sanitizer(void)
{
    char text[1000];
    const char *before = getenv("ASAN_OPTIONS");
    snprintf(text, sizeof text, "%s%sverify_asan_link_order=0", before ? before : "",
             before ? ":" : "");
    setenv("ASAN_OPTIONS", text, 1);
}

void launch_prepare(const struct launch *launch)
{
    char settings[SETTINGS_LENGTH + 1];
    memset(settings, ' ', SETTINGS_LENGTH);
    settings[SETTINGS_LENGTH] = '\0';
    memcpy(settings, launch->settings, strlen(launch->settings));
    try_pool(&launch->options);
    setenv("FFALLOC_RUN", settings, 1);
    if (launch->only)
        setenv("FFALLOC_ONLY", launch->only, 1);
    if (launch->has_unwind)
        preload(find_library(UNWIND_LIBRARY));
    preload(is_32_bit ? find_library_32() : find_library(PRELOAD_LIBRARY));
    allow_sanitizer();
}

void launch_exec(const char *path, char **arguments)
{
    execv(path, arguments);
    die(STATUS_CANNOT_RUN, "%s cannot be run: %s", path, strerror(errno));
}
