/* SPDX-License-Identifier: MIT */
/*
 * The log (layer 1): what mproc tells of itself on stderr, one line each, written at once. Called by shm, and by
 * src/bind/log.c for the Lua side.
 * Invariant: process-local, and inherited by fork: the level and the zero of its clock. No malloc, no lock of the arena:
 * exit() may log. Where nothing is wanted, a caller pays one load.
 */
#ifndef MP_PROCESS_LOG_H
#define MP_PROCESS_LOG_H

#include <stdbool.h>

#pragma GCC visibility push(hidden)

enum { MP_LOG_OFF, MP_LOG_WARNING, MP_LOG_INFO, MP_LOG_DEBUG, MP_LOG_LEVELS };
enum { MP_LOG_LINE = 4096 /* bytes at most; what is longer is cut */ };

extern const char *const mp_process_log_names[MP_LOG_LEVELS];
extern int mp_process_log_level;
static inline bool mp_process_log_wants(int level) { return mp_process_log_level >= level; }

/* The clock of the lines begins now, unless it has begun. */
void mp_process_log_begin(void);
/* Writes "mproc: SECONDS LEVEL 'NAME' (pid N): TEXT", if that level is wanted. Control characters become spaces. */
void mp_process_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The name of this process, as current_process().name began: at most MP_PROC_NAME - 1 bytes. to: MP_PROC_NAME of them. */
void mp_process_log_process(char *to);

#pragma GCC visibility pop
#endif
