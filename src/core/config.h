/* SPDX-License-Identifier: MIT */
/* The firmware's own header of choices (choices.h), where it names one. */
#ifndef FFALLOC_CORE_CONFIG_H
#define FFALLOC_CORE_CONFIG_H

#ifdef FFALLOC_CONFIG_FILE
#include FFALLOC_CONFIG_FILE
#endif

#endif
