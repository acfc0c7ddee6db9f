/* SPDX-License-Identifier: MIT */
/*
 * Processes that come up otherwise than by a fork of their parent (layer 1): they execute a program that joins the arena, or
 * are forked by the fork server. Called by src/process and L3. The words are those of registry.h.
 *
 * Such a process has none of its parent's references. Its slot's bitmap has one bit, written by the parent: that of the queue
 * in which it finds what it is to do. So whoever is killed at whatever point leaves a slot that a sweep finds, and with the
 * slot goes that queue and all that lies in it.
 *
 *   killed                                     what the others see
 *   the parent, before there is a process      STARTING, no pid, nobody has the arena mapped and no place: the slot goes
 *   the process, before it has its place       STARTING, and its pid is gone (its parent reaps it, or its server says so)
 *   the process, later                         LIVE and its life free: as any
 *
 * A parent that gives up and a process that comes late agree by the state: who first moves it from STARTING has it.
 */
#ifndef MP_SHM_ARENA_NEWCOMER_H
#define MP_SHM_ARENA_NEWCOMER_H

#include "shm/arena/object.h"

#pragma GCC visibility push(hidden)

/* Of the status word: the process has been reaped, and the low 16 bits are waitpid's status; it could not be forked, and they
 * are the errno. */
enum { MP_STATUS_REAPED = 1 << 30, MP_STATUS_FAILED = 1 << 29, MP_STATUS_MASK = 0xffff };

/* Reserves a slot with a reference to that object, which this process holds, and no other. orphan: nobody will let the slot
 * go, it is free once its process is dead. 0, -EUSERS, -EAGAIN. */
int mp_shm_newcomer_reserve(mp_shm_handle h, bool orphan, mp_shm_proc_ref *child);
/* The slot is FREE, if the process has not come up; false: it has. */
bool mp_shm_newcomer_cancel(mp_shm_proc_ref child);
/* In the new process: joins the arena that fd is of and takes the place. 0; -EPROTO; -ESTALE: it came too late; -errno. */
int mp_shm_newcomer_attach(int fd, mp_shm_proc_ref self);
/* Waits for the pid of what a fork server is to fork: the pid; 0: not yet, after so many ns; -errno: it could not. */
pid_t mp_shm_newcomer_pid(mp_shm_proc_ref child, uint64_t most);
/* Waits for the status for so many ns at most: MP_STATUS_*, or 0. */
int mp_shm_newcomer_status(mp_shm_proc_ref child, uint64_t most);

/* For the fork server. Whether the slot still waits for its process, and its parent for the slot: then that has what this
 * process has, beside its own. */
bool mp_shm_newcomer_prepare(mp_shm_proc_ref child);
/* The pid is known. */
void mp_shm_newcomer_forked(mp_shm_proc_ref child, pid_t pid);
/* 0; -EAGAIN: again later. */
int mp_shm_newcomer_tell(mp_shm_proc_ref child, int status);
/* Whose child it is. */
mp_shm_proc_ref mp_shm_newcomer_parent(mp_shm_proc_ref child);

#pragma GCC visibility pop
#endif
