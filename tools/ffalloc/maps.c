/* SPDX-License-Identifier: MIT */
#include "maps.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

#define LINES_MOST 100000u

/* Where the line that begins at `start` is or would be. */
static size_t place_of(const struct maps *maps, uint64_t start)
{
    size_t low = 0;
    size_t high = maps->line_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (maps->lines[middle].start < start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A mapping of a file; a later one at the same address takes the place of the earlier. */
static void add_line(struct maps *maps, const char *text)
{
    uint64_t start, end;
    if (!strchr(text, '/') || sscanf(text, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
        return;
    size_t at = place_of(maps, start);
    bool is_there = at < maps->line_count && maps->lines[at].start == start;
    if (is_there && strcmp(maps->lines[at].text, text) == 0)
        return;
    if (is_there) {
        free(maps->lines[at].text);
    } else {
        if (maps->line_count >= LINES_MOST)
            return;
        maps->lines =
            grow(maps->lines, &maps->line_size, maps->line_count + 1, sizeof *maps->lines);
        memmove(maps->lines + at + 1, maps->lines + at,
                (maps->line_count - at) * sizeof *maps->lines);
        maps->line_count++;
    }
    maps->lines[at] = (struct maps_line){start, end, strdup(text)};
}

void maps_add_text(struct maps *maps, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\n') {
            if (maps->partial_length < sizeof maps->partial - 1)
                maps->partial[maps->partial_length++] = text[i];
            continue;
        }
        maps->partial[maps->partial_length] = '\0';
        add_line(maps, maps->partial);
        maps->partial_length = 0;
    }
}

void maps_read(struct maps *maps, unsigned process)
{
    char path[40];
    char text[4096];
    ssize_t length;
    snprintf(path, sizeof path, "/proc/%u/maps", process);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    maps->partial_length = 0;
    while ((length = read(descriptor, text, sizeof text)) > 0)
        maps_add_text(maps, text, (size_t)length);
    maps->partial_length = 0;
    close(descriptor);
}

bool maps_has(const struct maps *maps, uint64_t address)
{
    size_t at = place_of(maps, address + 1);
    return at > 0 && address < maps->lines[at - 1].end;
}

char *maps_text(const struct maps *maps, size_t *length)
{
    *length = 0;
    for (size_t i = 0; i < maps->line_count; i++)
        *length += strlen(maps->lines[i].text) + 1;
    char *text = allocate(*length + 1);
    char *end = text;
    for (size_t i = 0; i < maps->line_count; i++) {
        end = stpcpy(end, maps->lines[i].text);
        *end++ = '\n';
    }
    return text;
}

void maps_free(struct maps *maps)
{
    for (size_t i = 0; i < maps->line_count; i++)
        free(maps->lines[i].text);
    free(maps->lines);
    *maps = (struct maps){0};
}
