/* SPDX-License-Identifier: MIT */
#include "symbols.h"

#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "sites.h"
#include "stacks.h"
#include "text.h"

struct symbols {
    Dwfl *dwfl; /* NULL: nothing is known */
    struct known {
        uint64_t address; /* 0: empty */
        struct symbol symbol;
    } * known; /* a hash table, open, at most half full */
    size_t known_count, known_size;
};

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_linux_proc_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
};

struct symbols *symbols_open(const char *maps)
{
    struct symbols *symbols = allocate(sizeof *symbols);
    FILE *file = maps && *maps ? fmemopen((void *)(uintptr_t)maps, strlen(maps), "r") : NULL;
    if (!file)
        return symbols;
    symbols->dwfl = dwfl_begin(&callbacks);
    if (symbols->dwfl) {
        dwfl_linux_proc_maps_report(symbols->dwfl, file);
        dwfl_report_end(symbols->dwfl, NULL, NULL);
    }
    fclose(file);
    return symbols;
}

/* C++'s own runtime knows how to write its names; without it they stay as they are. */
static void name_function(struct symbol *symbol, const char *name)
{
    static char *(*cxa_demangle)(const char *, char *, size_t *, int *);
    static bool is_looked_up;
    if (!is_looked_up) {
        void *library = dlopen("libstdc++.so.6", RTLD_LAZY);
        *(void **)&cxa_demangle = library ? dlsym(library, "__cxa_demangle") : NULL;
        is_looked_up = true;
    }
    char *plain =
        cxa_demangle && strncmp(name, "_Z", 2) == 0 ? cxa_demangle(name, NULL, NULL, NULL) : NULL;
    symbol->function = printable(plain ? plain : name);
    symbol->name = plain ? sites_short_name(symbol->function) : symbol->function;
    free(plain);
}

/* The line of an address by looking through all units: clang writes no table of their addresses. */
static Dwarf_Line *find_line(Dwfl_Module *module, Dwarf_Addr address)
{
    Dwarf_Addr bias = 0;
    Dwarf_Die *unit = NULL;
    while ((unit = dwfl_module_nextcu(module, unit, &bias)))
        if (dwarf_haspc(unit, address - bias) == 1)
            return dwarf_getsrc_die(unit, address - bias);
    return NULL;
}

static Dwarf_Word number_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    dwarf_formudata(dwarf_attr(die, name, &attribute), &value);
    return value;
}

/* Whether a function that the compiler has put into others is one to look past. */
static bool is_looked_past(Dwarf_Die *function, const char *file)
{
    const char *name = dwarf_diename(function);
    return strstr(file, "/c++/") || (name && sites_is_wrapper(name));
}

/* From a line inside of an inlined wrapper, or of libstdc++'s templates, to the line of its call.
 */
static const char *leave_inlined(Dwfl_Module *module, Dwarf_Addr address, const char *file,
                                 int *line)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias);
    Dwarf_Die *innermost = NULL, *scopes = NULL;
    Dwarf_Files *files;
    if (!unit || dwarf_getsrcfiles(unit, &files, NULL) != 0 ||
        dwarf_getscopes(unit, address - bias, &innermost) <= 0)
        return file;
    int count = dwarf_getscopes_die(&innermost[0], &scopes);
    for (int i = 0; i < count; i++) {
        if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine)
            continue;
        const char *caller =
            dwarf_filesrc(files, number_of(&scopes[i], DW_AT_call_file), NULL, NULL);
        if (!caller || !is_looked_past(&scopes[i], file))
            break;
        file = caller;
        *line = (int)number_of(&scopes[i], DW_AT_call_line);
    }
    free(scopes);
    free(innermost);
    return file;
}

static void find_source(Dwfl_Module *module, Dwarf_Addr address, struct symbol *symbol)
{
    Dwfl_Line *line = dwfl_module_getsrc(module, address);
    const char *file = NULL;
    if (line) {
        file = dwfl_lineinfo(line, NULL, &symbol->line, NULL, NULL, NULL);
    } else {
        Dwarf_Line *found = find_line(module, address);
        file = found ? dwarf_linesrc(found, NULL, NULL) : NULL;
        if (file)
            dwarf_lineno(found, &symbol->line);
    }
    if (file)
        symbol->file = printable(leave_inlined(module, address, file, &symbol->line));
}

/* The call itself is before the address that it returns to. */
static struct symbol look_up(struct symbols *symbols, uint64_t return_address)
{
    struct symbol symbol = {"?", "?", NULL, 0, ""};
    Dwarf_Addr address = return_address - 1;
    Dwfl_Module *module = symbols->dwfl ? dwfl_addrmodule(symbols->dwfl, address) : NULL;
    if (!module)
        return symbol;
    Dwarf_Addr start = 0;
    const char *path = dwfl_module_info(module, NULL, &start, NULL, NULL, NULL, NULL, NULL);
    if (path) {
        const char *slash = strrchr(path, '/');
        symbol.module = printable(slash ? slash + 1 : path);
    }
    const char *name = dwfl_module_addrname(module, address);
    char *place;
    if (name)
        name_function(&symbol, name);
    else if (asprintf(&place, "%s+0x%" PRIx64, symbol.module, return_address - start) > 0)
        symbol.function = symbol.name = place;
    find_source(module, address, &symbol);
    return symbol;
}

static size_t place_of(const struct symbols *symbols, uint64_t address)
{
    size_t at = (size_t)(address * 0x9e3779b97f4a7c15u >> 20) & (symbols->known_size - 1);
    while (symbols->known[at].address != 0 && symbols->known[at].address != address)
        at = (at + 1) & (symbols->known_size - 1);
    return at;
}

static void make_room(struct symbols *symbols)
{
    if (symbols->known_count * 2 < symbols->known_size)
        return;
    struct known *before = symbols->known;
    size_t before_size = symbols->known_size;
    symbols->known_size = before_size ? before_size * 2 : 256;
    symbols->known = allocate(symbols->known_size * sizeof *symbols->known);
    for (size_t i = 0; i < before_size; i++)
        if (before[i].address != 0)
            symbols->known[place_of(symbols, before[i].address)] = before[i];
    free(before);
}

const struct symbol *symbols_find(struct symbols *symbols, uint64_t return_address)
{
    static const struct symbol none = {"?", "?", NULL, 0, ""};
    if (return_address == 0)
        return &none;
    make_room(symbols);
    struct known *known = &symbols->known[place_of(symbols, return_address)];
    if (known->address == 0) {
        *known = (struct known){return_address, look_up(symbols, return_address)};
        symbols->known_count++;
    }
    return &known->symbol;
}

void symbols_close(struct symbols *symbols)
{
    if (symbols->dwfl)
        dwfl_end(symbols->dwfl);
    free(symbols->known); /* the names live as long as the command */
    free(symbols);
}

static bool is_site(const struct symbol *symbol)
{
    return symbol->module[0] && !sites_is_library(symbol->module) &&
           !sites_is_wrapper(symbol->name);
}

size_t symbols_site(struct symbols *symbols, const struct trace_stack *stack)
{
    for (size_t i = 0; i < stack->count && stack->count > 1; i++)
        if (is_site(symbols_find(symbols, stack->frames[i])))
            return i;
    return 0;
}

const char *symbols_text(struct symbols *symbols, const struct trace_stack *stack)
{
    static char text[600];
    if (stack->count == 0)
        return "";
    uint64_t frame = stack->frames[symbols_site(symbols, stack)];
    const struct symbol *symbol = symbols_find(symbols, frame);
    if (symbol->file) {
        const char *slash = strrchr(symbol->file, '/');
        snprintf(text, sizeof text, "%s %s:%d", symbol->name, slash ? slash + 1 : symbol->file,
                 symbol->line);
    } else if (symbol->module[0] && strchr(symbol->function, '+')) {
        snprintf(text, sizeof text, "%s", symbol->name);
    } else if (symbol->module[0]) {
        snprintf(text, sizeof text, "%s in %s", symbol->name, symbol->module);
    } else {
        snprintf(text, sizeof text, "0x%" PRIx64, frame);
    }
    return text;
}

uint32_t *symbols_merge(struct symbols *symbols, const struct trace *trace)
{
    struct stacks sites = {0};
    uint32_t *same = allocate(trace->stack_count * sizeof *same);
    uint32_t *firsts = allocate((trace->stack_count + 1) * sizeof *firsts);
    for (uint32_t i = 1; i < trace->stack_count; i++) {
        bool is_new;
        const struct trace_stack *stack = &trace->stacks[i];
        uint64_t frame = stack->count ? stack->frames[symbols_site(symbols, stack)] : 0;
        uint32_t number = stacks_number(&sites, &frame, 1, &is_new);
        if (is_new)
            firsts[number] = i;
        same[i] = number ? firsts[number] : i;
    }
    stacks_free(&sites);
    free(firsts);
    return same;
}
