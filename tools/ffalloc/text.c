/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdint.h>
#include <string.h>

#include "command.h"

/* The bytes of the character that begins here, and which it is; 0 if none does. */
static unsigned decode(const unsigned char *at, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned length = *at < 0x80 ? 1 : *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    if (length == 1) {
        *code = *at;
        return 1;
    }
    if (*at < 0xc2 || *at > 0xf4)
        return 0;
    *code = *at & (0x7fu >> length);
    for (unsigned i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) /* the end too */
            return 0;
        *code = *code << 6 | (at[i] & 0x3f);
    }
    bool is_valid =
        *code >= least[length] && *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
    return is_valid ? length : 0;
}

char *printable(const char *text)
{
    const unsigned char *from = (const unsigned char *)text;
    char *whole = allocate(3 * strlen(text) + 1);
    char *to = whole;
    while (*from) {
        uint32_t code;
        unsigned length = decode(from, &code);
        if (length == 0) {
            to = stpcpy(to, "\xef\xbf\xbd");
        } else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            *to++ = '?';
        } else {
            memcpy(to, from, length);
            to += length;
        }
        from += length + (length == 0);
    }
    return whole;
}
