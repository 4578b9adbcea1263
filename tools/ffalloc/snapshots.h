/* SPDX-License-Identifier: MIT */
/* Snapshots of the traces of a recording, at SIGUSR2. */
#ifndef FFALLOC_TOOLS_SNAPSHOTS_H
#define FFALLOC_TOOLS_SNAPSHOTS_H

#include "session.h"

/* From now on SIGUSR2 asks for one. */
void snapshots_start(void);

/* Begins one of each trace if one was asked for, and looks whether those begun are whole. They are
 * made one after the other, as all of a trace have one name. */
void snapshots_see_to(struct session *session);

/* Waits for that of a process whose recording ends. */
void snapshots_wait(struct session *session, struct recorded *recorded);

#endif
