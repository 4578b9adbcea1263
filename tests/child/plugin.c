/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

char *plugin_make(void);
void plugin_drop(char *made);

static char *loaded;

__attribute__((constructor)) static void load(void)
{
    loaded = strdup("plugin");
}

__attribute__((destructor)) static void unload(void)
{
    free(loaded);
}

char *plugin_make(void)
{
    return strdup("made by a plugin");
}

void plugin_drop(char *made)
{
    free(made);
}
