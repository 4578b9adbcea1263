/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <stdio.h>

#include "command.h"

void json_add(cJSON *object, const char *name, uint64_t number)
{
    cJSON_AddNumberToObject(object, name, (double)number);
}

void json_print(cJSON *object, bool has_lines)
{
    char *text = has_lines ? cJSON_Print(object) : cJSON_PrintUnformatted(object);
    if (!text)
        die(STATUS_FAILED, "out of memory");
    puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}
