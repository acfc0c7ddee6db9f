/* SPDX-License-Identifier: MIT */
/*
 * The timeline (layer 1): Chrome's trace events, JSON array form, which every process of a tree appends to one file. Called by
 * src/bind for what happens there, and by the waits below through mp_shm_hook.
 *
 * The file is "[", then an object a line with a comma behind it; the bracket that would close it is left out, as the format
 * allows, so that whatever is killed leaves a file that can be read. A process gathers whole lines and appends them with one
 * write to a descriptor that forks share, so lines never mix: when it has 64 KiB, at its end, and before a sleep or at an
 * event once half a second has passed. A killed process loses what it had gathered, half a second at most.
 * Invariant: process-local; no malloc, no lock, no Lua. Off, each place costs a load.
 */
#ifndef MP_PROCESS_TRACE_H
#define MP_PROCESS_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

extern bool mp_process_traces; /* this process, and what it forks, writes a timeline */

/* Begins one at MPROC_TRACE, if that is set: the file is made anew, or, behind a "+", goes on; programs that are started from
 * here go on with it. 0 or -errno; *path: what was asked for, or NULL. */
int mp_process_trace_begin(const char **path);

/* Times are of mp_os_now. args: the fields of a JSON object without its braces, or NULL; texts are escaped here. */
/* A stretch of time. kind: its category, for viewers to filter by. */
void mp_process_trace_stretch(const char *kind, const char *name, uint64_t began, uint64_t ended, const char *args);
void mp_process_trace_instant(const char *name);
/* A number over time; what comes more often than 50 times a second is left out, but for 0. */
void mp_process_trace_counter(const char *name, const char *what, int64_t value);
/* The two ends of an arrow with the same id: 's' where it starts, 'f' in the stretch that began at that time. */
void mp_process_trace_arrow(char end, const char *id, uint64_t at);
/* This process ends in order: its life, and all that it has gathered. */
void mp_process_trace_end(void);

#pragma GCC visibility pop
#endif
