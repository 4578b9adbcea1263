/* SPDX-License-Identifier: MIT */
/* Writes traces: compressed, under another name until they are whole. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "command.h"
#include "trace.h"

/* Traces are long and alike: the fastest level makes 24 bytes of an event 2 to 4. */
#define LEVEL       1
#define OUTPUT_SIZE ((size_t)1 << 18)

/* So many bytes are compressed together, and can be read again only together: of a trace that is
 * cut off no more is lost. */
#define INPUT_SIZE ((size_t)1 << 17)

struct trace_writer {
    char *path;
    char *unfinished_path; /* NULL: the file has no name, and its content goes to `special` */
    int descriptor;
    int special; /* a pipe, say, which is the caller's; -1: `path` is a regular file */
    int error;   /* errno of the first failure, 0 */
    ZSTD_CStream *stream;
    unsigned char *input;
    size_t input_size;
    unsigned char *output;
    int64_t size;
};

/* Returns errno, 0 if all was written. */
static int write_all(int descriptor, const unsigned char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0 && errno != EINTR)
            return errno;
        if (written <= 0)
            continue;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

static void flush(struct trace_writer *writer, ZSTD_EndDirective directive)
{
    ZSTD_inBuffer in = {writer->input, writer->input_size, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {writer->output, OUTPUT_SIZE, 0};
        left = ZSTD_compressStream2(writer->stream, &out, &in, directive);
        if (ZSTD_isError(left)) {
            writer->error = ENOMEM;
            break;
        }
        if (!writer->error)
            writer->error = write_all(writer->descriptor, writer->output, out.pos);
        writer->size += writer->error ? 0 : (int64_t)out.pos;
    } while (!writer->error && (left != 0 || in.pos < in.size));
    writer->input_size = 0;
}

static void put(struct trace_writer *writer, const void *bytes, size_t size)
{
    while (size > 0) {
        if (writer->input_size == INPUT_SIZE)
            flush(writer, ZSTD_e_flush);
        size_t room = INPUT_SIZE - writer->input_size;
        size_t length = size < room ? size : room;
        memcpy(writer->input + writer->input_size, bytes, length);
        writer->input_size += length;
        bytes = (const char *)bytes + length;
        size -= length;
    }
}

char *trace_unfinished(const char *path)
{
    char *unfinished;
    if (asprintf(&unfinished, "%s.unfinished", path) < 0)
        die(STATUS_FAILED, "out of memory");
    return unfinished;
}

static void forget(struct trace_writer *writer)
{
    free(writer->path);
    free(writer->unfinished_path);
    free(writer);
}

struct trace_writer *trace_create(const char *path, int special)
{
    struct trace_writer *writer = allocate(sizeof *writer);
    writer->path = strdup(path);
    writer->special = special;
    if (special < 0) {
        writer->unfinished_path = trace_unfinished(path);
        writer->descriptor =
            open(writer->unfinished_path, O_WRONLY | O_CLOEXEC | O_CREAT | O_TRUNC, 0666);
    } else {
        writer->descriptor = temporary_file();
    }
    if (writer->descriptor < 0) {
        forget(writer);
        return NULL;
    }
    writer->input = allocate(INPUT_SIZE);
    writer->output = allocate(OUTPUT_SIZE);
    writer->stream = ZSTD_createCStream();
    ZSTD_CCtx_setParameter(writer->stream, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(writer->stream, ZSTD_c_checksumFlag, 1);
    uint32_t version = htole32(2);
    uint64_t count = UINT64_MAX;
    put(writer, "FTRC", 4);
    put(writer, &version, sizeof version);
    put(writer, &count, sizeof count);
    return writer;
}

void trace_write_event(struct trace_writer *writer, const struct trace_event *event)
{
    struct trace_event bytes = *event;
    bytes.thread = htole16(bytes.thread);
    bytes.id = htole32(bytes.id);
    bytes.size = htole64(bytes.size);
    bytes.site = htole32(bytes.site);
    bytes.time = htole32(bytes.time);
    put(writer, &bytes, sizeof bytes);
}

static void write_padded(struct trace_writer *writer, const void *bytes, size_t length)
{
    put(writer, bytes, length);
    put(writer, "\0\0\0\0\0\0\0", -length & 7);
}

void trace_write_text(struct trace_writer *writer, enum trace_op op, const char *text,
                      size_t length)
{
    trace_write_event(writer, &(struct trace_event){.op = (uint8_t)op, .size = length});
    write_padded(writer, text, length);
}

void trace_write_stack(struct trace_writer *writer, uint32_t number, const uint64_t *frames,
                       size_t count)
{
    size_t length = count * sizeof *frames;
    struct trace_event record = {.op = TRACE_STACK, .site = number, .size = length};
    trace_write_event(writer, &record);
    for (size_t i = 0; i < count; i++) {
        uint64_t frame = htole64(frames[i]);
        put(writer, &frame, sizeof frame);
    }
}

void trace_flush(struct trace_writer *writer)
{
    flush(writer, ZSTD_e_flush);
}

/* Hands the whole trace to what is no regular file. */
static void pass_on(struct trace_writer *writer)
{
    ssize_t length = 0;
    if (!writer->error && lseek(writer->descriptor, 0, SEEK_SET) != 0)
        writer->error = errno;
    while (!writer->error && (length = read(writer->descriptor, writer->input, INPUT_SIZE)) > 0)
        writer->error = write_all(writer->special, writer->input, (size_t)length);
    if (length < 0)
        writer->error = errno;
}

static int64_t end(struct trace_writer *writer)
{
    int error = writer->error;
    int64_t size = writer->size;
    if (error && writer->unfinished_path && (size == 0 || error == ECANCELED))
        unlink(writer->unfinished_path);
    ZSTD_freeCStream(writer->stream);
    free(writer->input);
    free(writer->output);
    forget(writer);
    errno = error;
    return error ? -1 : size;
}

int64_t trace_written(const struct trace_writer *writer)
{
    return writer->size;
}

bool trace_is_file(const struct trace_writer *writer)
{
    return writer->unfinished_path != NULL;
}

void trace_end_frame(struct trace_writer *writer)
{
    flush(writer, ZSTD_e_end);
}

static bool copy_file(int from, int to, int64_t size)
{
    off_t at = 0;
    while (at < size) {
        ssize_t length = sendfile(to, from, &at, (size_t)(size - at));
        if (length <= 0 && errno != EINTR)
            return false;
    }
    return true;
}

bool trace_divert(struct trace_writer *writer, const char *path)
{
    char *unfinished = trace_unfinished(path);
    char own[40]; /* whatever name it has by now */
    snprintf(own, sizeof own, "/proc/self/fd/%d", writer->descriptor);
    int from = open(own, O_RDONLY | O_CLOEXEC);
    int to = open(unfinished, O_WRONLY | O_CLOEXEC | O_CREAT | O_TRUNC, 0666);
    bool is_done = !writer->error && from >= 0 && to >= 0 && copy_file(from, to, writer->size);
    if (!is_done && to >= 0)
        unlink(unfinished);
    if (from >= 0)
        close(from);
    writer->descriptor = to;
    writer->path = strdup(path);
    writer->unfinished_path = unfinished;
    return is_done;
}

bool trace_rename(struct trace_writer *writer, const char *path)
{
    if (!writer->unfinished_path)
        return false;
    free(writer->path);
    writer->path = strdup(path);
    return true;
}

int64_t trace_finish(struct trace_writer *writer)
{
    flush(writer, ZSTD_e_end);
    if (!writer->unfinished_path)
        pass_on(writer);
    if (close(writer->descriptor) != 0 && !writer->error)
        writer->error = errno;
    if (!writer->error && writer->unfinished_path &&
        rename(writer->unfinished_path, writer->path) != 0)
        writer->error = errno;
    return end(writer);
}

void trace_abandon(struct trace_writer *writer)
{
    close(writer->descriptor);
    writer->error = ECANCELED;
    end(writer);
}
