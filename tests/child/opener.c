/* SPDX-License-Identifier: MIT */
/* A library that loads modules from a folder which only its own RUNPATH names. */
#define _GNU_SOURCE
#include <dlfcn.h>

void *opener_open(const char *name, int mode);
void *opener_open_in_base(const char *name, int mode);

void *opener_open(const char *name, int mode)
{
    void *module = dlopen(name, mode);
    return module;
}

void *opener_open_in_base(const char *name, int mode)
{
    void *module = dlmopen(LM_ID_BASE, name, mode);
    return module;
}
