/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <string.h>

#include "ffalloc/ffalloc.h"
#include "parse.h"

#define DEFAULT_GRANULE 16 /* what max_align_t and glibc promise on x86 */
#define DEVICE_GRANULE  8  /* the core's own default where pointers have 32 bits */
#define LARGEST_GRANULE 4096
#define LARGEST_GUARD   ((size_t)64 << 10) /* bytes */
#define LARGEST_SAMPLE  1000000000u

/* nth:100 | every:7 | prob:0.01[:seed=3] | size>=4096, several joined by commas. */
static bool parse_fail_term(const char **text, struct fail_rule *fail)
{
    uint64_t value;
    if (parse_word(text, "nth:"))
        return parse_number(text, &fail->nth) && fail->nth > 0;
    if (parse_word(text, "every:"))
        return parse_number(text, &fail->every) && fail->every > 0;
    if (parse_word(text, "size>=")) {
        bool is_number = parse_number(text, &value);
        fail->least_size = (size_t)value;
        return is_number;
    }
    if (!parse_word(text, "prob:") || !parse_probability(text, &fail->probability))
        return false;
    return !parse_word(text, ":seed=") || parse_number(text, &fail->seed);
}

static bool parse_fail(const char *text, struct fail_rule *fail)
{
    *fail = (struct fail_rule){.seed = 1, .is_set = true};
    do {
        if (!parse_fail_term(&text, fail)) {
            *fail = (struct fail_rule){0};
            return false;
        }
    } while (parse_word(&text, ","));
    if (*text != '\0')
        *fail = (struct fail_rule){0};
    return fail->is_set;
}

/* SIZE, or SIZE:cortex-m and the like for what that device makes of an array of that size. */
static bool read_pool(const char *text, struct options *options)
{
    char size[32];
    size_t value;
    size_t length = strcspn(text, ":");
    static const char *const devices[] = {"", ":cortex-m", ":rv32", ":cortex-m-small",
                                          ":rv32-small"};
    static const unsigned targets[] = {0, 32, 32, 32 | FFALLOC_TARGET_SMALL,
                                       32 | FFALLOC_TARGET_SMALL};
    int device = parse_choice(text + length, devices, 5);
    if (length >= sizeof size || device < 0)
        return false;
    memcpy(size, text, length);
    size[length] = '\0';
    if (!parse_size(size, &value) || value == 0)
        return false;
    options->pool_size = value;
    options->pool_device = text + length;
    options->pool_target = targets[device];
    return true;
}

static bool read_granule(const char *text, struct options *options)
{
    size_t value;
    if (!parse_size(text, &value) || value < 8 || value > LARGEST_GRANULE || value & (value - 1))
        return false;
    options->granule = value;
    options->has_granule = true;
    return true;
}

/* Read before all others, by is_passed_through. */
static bool read_only(const char *text, struct options *options)
{
    (void)options;
    return *text != '\0';
}

static bool read_stats(const char *text, struct options *options)
{
    static const char *const words[] = {"0", "1", "json"};
    int choice = parse_choice(text, words, 3);
    options->stats = choice < 0 ? STATS_NONE : (enum stats_format)choice;
    return choice >= 0;
}

static bool read_log(const char *text, struct options *options)
{
    uint64_t value;
    if (parse_whole(text, &value) && value < 1u << 20) {
        options->log_descriptor = (int)value;
        return true;
    }
    options->log = text;
    return *text != '\0';
}

static bool read_check(const char *text, struct options *options)
{
    return parse_whole(text, &options->check_every);
}

static bool parse_fill(const char *text, int *fill)
{
    uint64_t value;
    if (!parse_whole(text, &value) || value > 255)
        return false;
    *fill = value == 0 ? -1 : (int)value;
    return true;
}

static bool read_fill(const char *text, struct options *options)
{
    return parse_fill(text, &options->fill);
}

/* 0, 1 for the default, or bytes. */
static bool read_guard(const char *text, struct options *options)
{
    uint64_t value;
    if (!parse_whole(text, &value) || value > LARGEST_GUARD)
        return false;
    options->has_guard = true;
    options->guard_size = value == 1 ? DEFAULT_GUARD : (size_t)value;
    return true;
}

static bool read_quarantine(const char *text, struct options *options)
{
    size_t value;
    if (!parse_size(text, &value))
        return false;
    options->has_quarantine = true;
    options->quarantine_size = value;
    return true;
}

static bool read_sample(const char *text, struct options *options)
{
    uint64_t value;
    if (!parse_whole(text, &value) || value > LARGEST_SAMPLE)
        return false;
    options->sample_every = (size_t)value;
    return true;
}

static bool read_fail(const char *text, struct options *options)
{
    return parse_fail(text, &options->fail);
}

static bool read_on_error(const char *text, struct options *options)
{
    static const char *const words[] = {"abort", "report"};
    int choice = parse_choice(text, words, 2);
    if (choice >= 0)
        options->on_error = choice == 0 ? ON_ERROR_ABORT : ON_ERROR_REPORT;
    return choice >= 0;
}

static bool read_on_fail(const char *text, struct options *options)
{
    static const char *const words[] = {"null", "abort"};
    int choice = parse_choice(text, words, 2);
    options->aborts_on_fail = choice == 1;
    return choice >= 0;
}

static bool read_valgrind(const char *text, struct options *options)
{
    static const char *const words[] = {"auto", "off"};
    int choice = parse_choice(text, words, 2);
    options->ignores_valgrind = choice == 1;
    return choice >= 0;
}

/* 0 or 1; off if it is neither. */
static bool parse_switch(const char *text, bool *is_on)
{
    static const char *const words[] = {"0", "1"};
    int choice = parse_choice(text, words, 2);
    *is_on = choice == 1;
    return choice >= 0;
}

static bool read_leaks(const char *text, struct options *options)
{
    bool is_on;
    bool is_valid = parse_switch(text, &is_on);
    options->skips_leaks = is_valid && !is_on;
    return is_valid;
}

static bool read_verbose(const char *text, struct options *options)
{
    uint64_t value;
    bool is_number = parse_whole(text, &value) && value <= 2;
    options->verbosity = is_number ? (unsigned)value : 0;
    options->is_silent = is_number && value == 0;
    return is_number;
}

static bool read_record(const char *text, struct options *options)
{
    if (*text != '/' || strlen(text) >= 200)
        return false;
    options->record = text;
    return true;
}

static bool read_live(const char *text, struct options *options)
{
    return parse_switch(text, &options->is_live);
}

static bool read_paused(const char *text, struct options *options)
{
    return parse_switch(text, &options->is_paused);
}

static bool read_backtrace(const char *text, struct options *options)
{
    static const char *const words[] = {"caller", "fp", "unwind"};
    int choice = parse_choice(text, words, 3);
    options->backtrace = choice < 0 ? BACKTRACE_CALLER : (enum backtrace)choice;
    return choice >= 0;
}

static const struct {
    const char *name; /* after FFALLOC_ */
    bool (*read)(const char *text, struct options *options);
} variables[] = {
    {"POOL", read_pool},
    {"GRANULE", read_granule},
    {"ONLY", read_only},
    {"STATS", read_stats},
    {"LOG", read_log},
    {"CHECK", read_check},
    {"FILL", read_fill},
    {"FAIL", read_fail},
    {"ON_ERROR", read_on_error},
    {"ON_FAIL", read_on_fail},
    {"VERBOSE", read_verbose},
    {"LEAKS", read_leaks},
    {"VALGRIND", read_valgrind},
    {"RECORD", read_record},
    {"LIVE", read_live},
    {"PAUSED", read_paused},
    {"BACKTRACE", read_backtrace},
    {"GUARD", read_guard},
    {"QUARANTINE", read_quarantine},
    {"SAMPLE", read_sample},
};

const char *options_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Whether `names`, separated by commas, has the program's name. */
static bool is_listed(const char *names, const char *program)
{
    size_t length = strlen(program);
    while (names) {
        if (strncmp(names, program, length) == 0 && (names[length] == ',' || !names[length]))
            return true;
        names = strchr(names, ',');
        names += names != NULL;
    }
    return false;
}

/* The value of `variable` ("NAME=value") if its name is `name`, else NULL. */
static const char *value_of(const char *variable, const char *name)
{
    const char *text = variable;
    return parse_word(&text, name) && *text == '=' ? text + 1 : NULL;
}

static bool is_passed_through(const struct os_start *start)
{
    for (char **variable = start->environment; *variable; variable++) {
        const char *names = value_of(*variable, "FFALLOC_ONLY");
        if (names)
            return !is_listed(names, options_base_name(start->program)) &&
                   !is_listed(names, options_base_name(start->argument));
    }
    return false;
}

bool options_take(struct options *options, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].read(value, options);
    return false;
}

/* Reads one variable of ours; `text` is what follows FFALLOC_ in it. */
static void read_variable(struct options *options, const char *variable, const char *text,
                          void (*complain)(const char *format, ...))
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = value_of(text, variables[i].name);
        if (!value)
            continue;
        if (!variables[i].read(value, options))
            complain("bad value in %.80s: ignored", variable);
        return;
    }
    complain("unknown variable %.80s: ignored", variable);
}

/*
 * FFALLOC_RUN, which the ffalloc command sets: several options at once, as "POOL=64K GRANULE=8",
 * filled up with spaces. The environment is part of a program's input, so it must have the same
 * length whatever is asked for.
 */
static void read_run(struct options *options, const char *text,
                     void (*complain)(const char *format, ...))
{
    static char words[400];
    size_t length = strlen(text);
    options->is_from_command = true;
    if (length >= sizeof words) {
        complain("FFALLOC_RUN is too long: ignored");
        return;
    }
    memcpy(words, text, length + 1);
    for (char *word = words; *word;) {
        char *end = word;
        while (*end && *end != ' ')
            end++;
        char *next = *end ? end + 1 : end;
        *end = '\0';
        if (*word)
            read_variable(options, word, word, complain);
        word = next;
    }
}

struct options options_default(void)
{
    return (struct options){.granule = DEFAULT_GRANULE, .fill = -1, .log_descriptor = 2};
}

size_t options_granule(const struct options *options)
{
    return options->pool_target && !options->has_granule ? DEVICE_GRANULE : options->granule;
}

size_t options_pool_memory(const struct options *options)
{
    size_t granule = options_granule(options);
    if (!options->pool_target)
        return ffalloc_metadata_size(options->pool_size, granule) ? options->pool_size : 0;
    size_t granules = ffalloc_target_granules(options->pool_target, options->pool_size, granule);
    return ffalloc_pool_size_for(granules, granule);
}

void options_read(struct options *options, const struct os_start *start,
                  void (*complain)(const char *format, ...))
{
    *options = options_default();
    if (start->is_secure)
        return;
    options->is_passed_through = is_passed_through(start);
    if (options->is_passed_through)
        return;
    int perturb = -1;
    for (char **variable = start->environment; *variable; variable++) {
        const char *text = *variable;
        const char *value = value_of(text, "MALLOC_PERTURB_");
        if (value)
            parse_fill(value, &perturb);
        if (!parse_word(&text, "FFALLOC_"))
            continue;
        value = value_of(text, "RUN");
        if (value)
            read_run(options, value, complain);
        else
            read_variable(options, *variable, text, complain);
    }
    options->fill = options->fill < 0 ? perturb : options->fill;
    options->granule = options_granule(options);
}
