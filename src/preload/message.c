/* SPDX-License-Identifier: MIT */
/* Messages: one line each, on standard error. */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>

#include "heap.h"

/* The bytes of the UTF-8 character that begins here; 0 if none does, or it steers a terminal. */
static unsigned utf8_length(const unsigned char *at)
{
    unsigned length = *at < 0x80 ? 1 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
    bool is_long_form = (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xf0 && at[1] < 0x90);
    bool is_control = *at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0);
    bool is_no_code = (*at == 0xed && at[1] > 0x9f) || (*at == 0xf4 && at[1] > 0x8f);
    if (is_control)
        return 0;
    if (length > 1 && (*at < 0xc2 || *at > 0xf4 || is_long_form || is_no_code))
        return 0;
    for (unsigned i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80) /* the end too */
            return 0;
    return length;
}

void message_clean(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at;) {
        unsigned length = utf8_length(at);
        *at = length ? *at : '_';
        at += length + (length == 0);
    }
}

void heap_message(const char *format, ...)
{
    char line[600];
    int length = snprintf(line, sizeof line, "ffalloc: ");
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - 1 - (size_t)length, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    message_clean(line);
    line[length] = '\n';
    int descriptor = output_for_message(&heap.standard_error);
    if (descriptor >= 0)
        os_write(descriptor, line, (size_t)length + 1);
}
