/* SPDX-License-Identifier: MIT */
#include "sites.h"

#include <fnmatch.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

/* Template arguments of more letters are left out. */
#define ARGUMENTS_MOST 12

#define KEY_SKIP 256 /* no letter */

static const char *const wrappers[] = {"malloc",          "calloc",          "realloc",
                                       "reallocarray",    "aligned_alloc",   "memalign",
                                       "valloc",          "posix_memalign",  "strdup",
                                       "strndup",         "xmalloc",         "xcalloc",
                                       "xzalloc",         "xrealloc",        "xreallocarray",
                                       "xstrdup",         "xstrndup",        "xmemdup",
                                       "g_malloc*",       "g_try_malloc*",   "g_realloc*",
                                       "g_try_realloc",   "g_strdup*",       "g_strndup",
                                       "g_memdup*",       "g_slice_*",       "PyMem_*",
                                       "_PyMem_*",        "PyObject_*alloc", "_PyObject_*alloc",
                                       "sqlite3_*alloc*", "sqlite3*Malloc*", "CRYPTO_*alloc",
                                       "CRYPTO_*dup",     "operator new*",   "operator delete*",
                                       "std::*",          "__gnu_cxx::*",    NULL};

static const char *const libraries[] = {
    "libc.so*",  "libc-2.*",    "libstdc++.so*",  "libc++.so*",   "libc++abi*", "libgcc_s.so*",
    "ld-linux*", "libpthread*", "libffalloc.so*", "libffalloc-*", NULL};

/* What --skip names, up to a NULL. */
static const char **skipped;
static size_t skipped_count;

static bool is_listed(const char *name, const char *const *globs)
{
    for (; globs && *globs; globs++)
        if (fnmatch(*globs, name, 0) == 0)
            return true;
    return false;
}

bool sites_is_wrapper(const char *name)
{
    return is_listed(name, wrappers) || is_listed(name, skipped);
}

bool sites_is_library(const char *module)
{
    return is_listed(module, libraries) || is_listed(module, skipped);
}

static void skip(const char *text)
{
    char *names = strdup(text);
    if (!names)
        die(STATUS_FAILED, "out of memory");
    for (char *name = strsep(&names, ","); name; name = strsep(&names, ",")) {
        if (!*name)
            die(STATUS_USAGE, "--skip: '%s' has an empty name", text);
        skipped = reallocarray(skipped, skipped_count + 2, sizeof *skipped);
        if (!skipped)
            die(STATUS_FAILED, "out of memory");
        skipped[skipped_count++] = name;
        skipped[skipped_count] = NULL;
    }
}

static const struct argp_option options[] = {
    {"skip", KEY_SKIP, "NAME[,NAME]", 0,
     "functions, or whole libraries, that are no call site of their own, as xmalloc,my_*: their "
     "callers are",
     0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    (void)state;
    if (key != KEY_SKIP)
        return ARGP_ERR_UNKNOWN;
    skip(text);
    return 0;
}

static const struct argp argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

const struct argp_child sites_children[] = {{&argp, 0, NULL, 0}, {0}};

/* Names --------------------------------------------------------------------------------- */

/* What follows a bracket's match; the end if it has none. */
static const char *after_match(const char *at)
{
    unsigned depth = 0;
    for (; *at; at++) {
        if (at[0] == '-' && at[1] == '>') {
            at++;
            continue;
        }
        depth += strchr("<({[", *at) != NULL;
        depth -= strchr(">)}]", *at) != NULL;
        if (depth == 0)
            return at + 1;
    }
    return at;
}

/* How much of the text is a word with operator and its sign; 0: it is none. */
static size_t operator_length(const char *at)
{
    static const char *const signs[] = {
        "<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "()", "<", ">", ""};
    size_t length = strlen("operator");
    if (strncmp(at, "operator", length) != 0)
        return 0;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strncmp(at + length, signs[i], strlen(signs[i])) == 0)
            return length + strlen(signs[i]);
    return length;
}

/* A bracket and what it holds, or what stands for it; returns what follows it. */
static const char *shorten_bracket(const char *at, char **to, bool is_first)
{
    static const char anonymous[] = "(anonymous namespace)";
    const char *next = after_match(at);
    size_t length = (size_t)(next - at);
    bool is_kept = (*at == '<' && length <= ARGUMENTS_MOST + 2) ||
                   (is_first && strncmp(at, anonymous, sizeof anonymous - 1) == 0);
    if (is_kept)
        *to = mempcpy(*to, at, length);
    else if (*at == '<')
        *to = stpcpy(*to, "<...>");
    else if (*at == '{')
        *to = stpcpy(*to, "{lambda}");
    return next;
}

char *sites_short_name(const char *function)
{
    char *name = allocate(2 * strlen(function) + 10);
    char *to = name;
    bool has_operator = false;
    for (const char *at = function; *at;) {
        bool is_first = to == name || to[-1] == ':';
        size_t length = is_first ? operator_length(at) : 0;
        if (length > 0) {
            has_operator = true;
            to = mempcpy(to, at, length);
            at += length;
        } else if (strchr("<({[", *at) && !(has_operator && *at == '[')) {
            bool is_end = *at == '(' && !is_first;
            at = shorten_bracket(at, &to, is_first);
            if (is_end && strncmp(at, "::", 2) != 0)
                break;
        } else if (*at == ' ' && !has_operator) {
            to = name; /* the type that is returned stands before */
            at++;
        } else if (is_first && strncmp(at, "__cxx11::", 9) == 0) {
            at += 9;
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
    return name;
}
