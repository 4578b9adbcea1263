/* SPDX-License-Identifier: MIT */
#include "rings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

#define RING_SIZE (RING_DATA_OFF + RING_WORDS * sizeof(uint64_t))

/* The folder of the rings, removed whatever way the recorder itself ends. */
static char folder_path[PATH_MAX];
static pid_t folder_owner;

static void remove_folder(void)
{
    DIR *folder = getpid() == folder_owner ? opendir(folder_path) : NULL;
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (!folder)
        return;
    closedir(folder);
    rmdir(folder_path);
}

const char *rings_place(unsigned number)
{
    const char *temporary = getenv("TMPDIR");
    bool is_usable = temporary && temporary[0] == '/' && strlen(temporary) < 100;
    const char *const places[] = {"/dev/shm", is_usable ? temporary : "/tmp", "/tmp"};
    return number < 3 ? places[number] : NULL;
}

const char *rings_make_folder(void)
{
    for (unsigned i = 0; rings_place(i); i++) {
        snprintf(folder_path, sizeof folder_path, "%s/ffalloc.XXXXXX", rings_place(i));
        if (mkdtemp(folder_path)) {
            folder_owner = getpid();
            atexit(remove_folder);
            return folder_path;
        }
    }
    die(STATUS_FAILED, "no folder can be made in /dev/shm or /tmp: %s", strerror(errno));
}

struct ring *ring_open(const char *path)
{
    struct stat status;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    struct ring *ring = MAP_FAILED;
    if (fstat(descriptor, &status) == 0 && status.st_size == RING_SIZE)
        ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    unlink(path);
    if (ring == MAP_FAILED)
        return NULL;
    if (memcmp(ring->magic, RING_MAGIC, sizeof ring->magic) == 0 && ring->granule != 0)
        return ring;
    munmap(ring, RING_SIZE);
    return NULL;
}

void ring_close(struct ring *ring)
{
    munmap(ring, RING_SIZE);
}
