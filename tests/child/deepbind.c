/* SPDX-License-Identifier: MIT */
/*
 * Blocks that go between the program and a module loaded with RTLD_DEEPBIND.
 *
 *   deepbind OPENER NAME     OPENER is a library with its path, NAME the module's file name alone
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *find(void *library, const char *name)
{
    void *function = library ? dlsym(library, name) : NULL;
    if (!function) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return function;
}

int main(int argc, char **argv)
{
    static const char *const openers[] = {"opener_open", "opener_open_in_base"};
    void *library = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    for (int i = 0; i < 2; i++) {
        void *(*open)(const char *, int) = (void *(*)(const char *, int))find(library, openers[i]);
        void *module = open(argv[2], RTLD_NOW | RTLD_DEEPBIND);
        char *(*make)(void) = (char *(*)(void))find(module, "plugin_make");
        void (*drop)(char *) = (void (*)(char *))find(module, "plugin_drop");
        char *made = make();
        puts(made);
        free(made);
        drop(strdup("made by the program"));
        dlclose(module);
    }
    return 0;
}
