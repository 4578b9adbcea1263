/* SPDX-License-Identifier: MIT */
/* What a terminal may be shown. */
#ifndef FFALLOC_PRELOAD_MESSAGE_H
#define FFALLOC_PRELOAD_MESSAGE_H

/* What cannot be shown as it is becomes '_'. */
void message_clean(char *text);

#endif
