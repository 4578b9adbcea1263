/* SPDX-License-Identifier: MIT */
/* Names that programs, files and users chose, as they may be shown. */
#ifndef FFALLOC_TOOLS_TEXT_H
#define FFALLOC_TOOLS_TEXT_H

/* The text in valid UTF-8, U+FFFD for each byte that is none, and without control characters, '?'
 * for each: in a new string. */
char *printable(const char *text);

#endif
