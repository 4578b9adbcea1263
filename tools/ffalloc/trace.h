/* SPDX-License-Identifier: MIT */
/*
 * Traces: what `ffalloc record` writes and the other commands read. FTRC version 2, compressed by
 * zstd or not; version 1, which has no times, no call sites and sizes of 32 bits, is read too.
 *
 * Little-endian. A header of 16 bytes: "FTRC", u32 version, u64 number of events (all ones: not
 * known). Then records of 24 bytes:
 *
 *     u8 op; u8 log2align; u16 thread; u32 id; u64 size; u32 site; u32 time;
 *
 *   op         1 malloc, 2 calloc, 3 realloc, 4 free, 5 aligned; 6 a request that failed
 *   log2align  of the alignment asked; 0: none
 *   thread     dense, from 0; all ones: nobody's, which fills a hole while blocks that lived before
 *              the trace began are placed where they lay
 *   id         the block: a number that is free becomes live, or a live one dies or moves. Numbers
 *              are dense: a new one is the least never used. For 6: the block that realloc was to
 *              move, or all ones
 *   size       bytes asked
 *   site       the number of a stack, 0: not known
 *   time       microseconds since the event before (and after long, all ones and no more)
 *
 * Records with an op of 128 and more carry `size` bytes after them, padded with zeroes to a
 * multiple of 8: 128 a JSON object with what is known of the process, 129 stack number `site` as
 * u64 return addresses, innermost first (each before the first event that has it), 130 the lines of
 * /proc/PID/maps that name executable mappings, 131 the end: a JSON object with the number of
 * events, the hash of their offsets, and how the process ended. Version 2 without 131 is truncated:
 * it is read up to its last whole event, and a line says so.
 */
#ifndef FFALLOC_TOOLS_TRACE_H
#define FFALLOC_TOOLS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum trace_op {
    TRACE_MALLOC = 1,
    TRACE_CALLOC,
    TRACE_REALLOC,
    TRACE_FREE,
    TRACE_ALIGNED,
    TRACE_FAILED,
    TRACE_PROCESS = 128,
    TRACE_STACK,
    TRACE_MAPS,
    TRACE_END
};

#define TRACE_NO_ID  UINT32_MAX
#define TRACE_NOBODY UINT16_MAX

struct trace_event {
    uint8_t op;
    uint8_t log2align;
    uint16_t thread;
    uint32_t id;
    uint64_t size;
    uint32_t site;
    uint32_t time; /* microseconds since the event before */
};

struct trace_stack {
    uint64_t *frames;
    size_t count;
};

struct trace {
    const char *path;
    const char *error;    /* what is wrong with it, once trace_next has returned false; else NULL */
    bool is_truncated;    /* the file ends before the trace does: known once all is read */
    uint64_t event_count; /* read so far */
    uint64_t time;        /* microseconds from the first event to the last one read */
    uint32_t version;
    uint32_t id_count;
    char *process; /* JSON, NULL if there is none; so are the next two */
    char *maps;
    char *end;
    struct trace_stack *stacks; /* stack 0 is empty */
    size_t stack_count;
    struct reader *reader;
};

/* Opens a trace; "-" is standard input. Never NULL: `error` is set if it cannot be read. */
struct trace *trace_open(const char *path);

/* The next event, checked: its id is live, or dead, as its op needs. False at the end and if the
 * trace is not valid, which `error` then says. */
bool trace_next(struct trace *trace, struct trace_event *event);

/* At the end of the file `wait` is called, which returns whether to look for more. What the trace
 * then lacks at its end is not told. */
void trace_follow(struct trace *trace, bool (*wait)(void *context), void *context);

/* Begins anew with the first event. False, with `error` set, if it cannot. */
bool trace_rewind(struct trace *trace);

void trace_close(struct trace *trace);

const char *trace_op_name(unsigned op);

/* Writing. The file has its final name only after trace_finish. */
struct trace_writer;

/* At `path`; or to `special`, unless that is -1: a descriptor of what is no regular file, to which
 * the trace goes when it is whole. NULL if no file can be made: errno says why. */
struct trace_writer *trace_create(const char *path, int special);
void trace_write_event(struct trace_writer *writer, const struct trace_event *event);
void trace_write_text(struct trace_writer *writer, enum trace_op op, const char *text,
                      size_t length);
void trace_write_stack(struct trace_writer *writer, uint32_t number, const uint64_t *frames,
                       size_t count);
/* Writes out what there is so far. */
void trace_flush(struct trace_writer *writer);
/* Goes on in a file at `path` that has a copy of all so far; for a process forked for that, as the
 * first file stays open. False, errno saying why, if it cannot; then nothing more may be written.
 * Before it trace_end_frame has been called, in the process that goes on with the first file. */
void trace_end_frame(struct trace_writer *writer);
bool trace_divert(struct trace_writer *writer, const char *path);
/* Bytes that are in the file. */
int64_t trace_written(const struct trace_writer *writer);
bool trace_is_file(const struct trace_writer *writer);
/* Gives the file another final name; false if it is no regular file, which keeps its own. */
bool trace_rename(struct trace_writer *writer, const char *path);
/* Both return the file's size, or -1 and errno if anything could not be written. Then what was
 * written stays as trace_unfinished says; after trace_abandon nothing does. */
int64_t trace_finish(struct trace_writer *writer);
/* The name that a trace at `path` has until it is whole, in a new string. */
char *trace_unfinished(const char *path);
void trace_abandon(struct trace_writer *writer);

#endif
