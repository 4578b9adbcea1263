/* SPDX-License-Identifier: MIT */
/* Recording of a process that runs already. */
#ifndef FFALLOC_TOOLS_ATTACH_H
#define FFALLOC_TOOLS_ATTACH_H

#include "session.h"

/* Records the process session->child, which runs with FFALLOC_LIVE, until it ends or becomes
 * another program, or a signal ends this; returns the status to end with. Ends with a line if it
 * cannot. `word_count`: words that follow the options. */
int attach(struct session *session, int word_count);

/* Removes the control files of processes that were killed. */
void live_sweep(void);

#endif
