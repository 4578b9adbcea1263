/* SPDX-License-Identifier: MIT */
/* What the C library, or a sanitizer in its place, allocates for the program to free. */
#define _GNU_SOURCE
#include <dirent.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

static char *from_asprintf(void)
{
    char *text;
    return asprintf(&text, "%d", 12345) > 0 ? text : NULL;
}

static char *from_getline(void)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/self/comm", "r");
    if (!file || getline(&line, &size, file) < 0)
        return NULL;
    fclose(file);
    return line;
}

static char *from_memstream(void)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    fputs("text", stream);
    fclose(stream);
    return text;
}

static char *from_scandir(void)
{
    struct dirent **entries;
    int count = scandir("/", &entries, NULL, alphasort);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    return (char *)entries;
}

static char *from_strdup(void)
{
    return strdup("text");
}

static char *from_strndup(void)
{
    return strndup("text", 3);
}

static char *from_wcsdup(void)
{
    return (char *)wcsdup(L"text");
}

static char *from_realpath(void)
{
    return realpath("/usr/bin/..", NULL);
}

static char *from_canonicalize(void)
{
    return canonicalize_file_name("/usr/bin/..");
}

static char *from_getcwd(void)
{
    return getcwd(NULL, 0);
}

int main(void)
{
    static char *(*const makers[])(void) = {
        from_asprintf, from_getline, from_memstream, from_scandir,      from_strdup,
        from_strndup,  from_wcsdup,  from_realpath,  from_canonicalize, from_getcwd,
    };
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        free(makers[i]());
        char *made = makers[i]();
        if (!made || malloc_usable_size(made) < 2) {
            fprintf(stderr, "maker %zu: %p\n", i, (void *)made);
            return 1;
        }
        made = realloc(made, 5000);
        memset(made + 100, 0, 4900);
        free(made);
        made = realloc(makers[i](), 0);
        if (made)
            return 1;
    }
    puts("end");
    return 0;
}
