/* SPDX-License-Identifier: MIT */
#include "trace_notes.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static void write_json(struct trace_writer *writer, enum trace_op op, cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    if (text)
        trace_write_text(writer, op, text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(object);
}

void note_process(struct trace_writer *writer, const struct ring *ring, char **command)
{
    cJSON *object = cJSON_CreateObject();
    cJSON *words = cJSON_AddArrayToObject(object, "command");
    for (; *command; command++)
        cJSON_AddItemToArray(words, cJSON_CreateString(*command));
    cJSON_AddStringToObject(object, "program", ring->program);
    cJSON_AddNumberToObject(object, "process", ring->process);
    cJSON_AddNumberToObject(object, "forked_from", ring->parent);
    cJSON_AddNumberToObject(object, "word_bits", ring->pointer_size * 8.0);
    cJSON_AddNumberToObject(object, "granule", (double)ring->granule);
    cJSON_AddNumberToObject(object, "page_size", ring->page_size);
    cJSON_AddNumberToObject(object, "pool", (double)ring->pool_size);
    write_json(writer, TRACE_PROCESS, object);
}

void note_maps(struct trace_writer *writer, const struct maps *maps)
{
    size_t length;
    char *text = maps_text(maps, &length);
    trace_write_text(writer, TRACE_MAPS, text, length);
    free(text);
}

void note_end(struct trace_writer *writer, const struct trace_totals *totals, struct ending ending)
{
    char hash[20];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "events", (double)totals->event_count);
    cJSON_AddNumberToObject(object, "failed", (double)totals->failed_count);
    snprintf(hash, sizeof hash, "%016" PRIx64, totals->hash);
    if (totals->is_one_pool)
        cJSON_AddStringToObject(object, "offsets", hash);
    if (ending.is_known && WIFEXITED(ending.status))
        cJSON_AddNumberToObject(object, "status", WEXITSTATUS(ending.status));
    if (ending.is_known && WIFSIGNALED(ending.status))
        cJSON_AddNumberToObject(object, "signal", WTERMSIG(ending.status));
    write_json(writer, TRACE_END, object);
}
