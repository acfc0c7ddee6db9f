/* SPDX-License-Identifier: MIT */
/*
 * The fork server: a process that was executed anew and forks others, for the start method of that name (layer 1). One per
 * tree, started at first use; it is init's child, has a place in the registry, and ends when no other process of the tree
 * lives. Called by src/bind/newcomer.c.
 *
 * Who wants a process reserves its slot (shm/arena/newcomer.h) and puts a request into the server's queue; the server forks
 * itself into that slot, and its pid tells. The process is the server's child, and its parent's by the registry: the parent
 * sees its life and its exit word; what only who reaps it knows, the server stores in the slot's status word.
 *
 * The words, in the arena's header (mp_shm_fork_server). `starting` is a robust lock, taken before any other lock; who has it
 * starts a server and waits until that is ready. After a death its next owner looks, and starts another one.
 *   claimed   a new server, by CAS from one that is dead, or 0   who is, or is about to be, the server
 *   requests  the server, once it has claimed                    its queue
 *   ref       the server, last, with release                     it takes requests. A reader loads it, then requests, then it
 *                                                                again: the same and alive means that they belong together
 *
 *   killed                                        what the others see
 *   a starter, the server not ready               the server becomes ready, or finds that another has claimed, and ends
 *   the server, before it forked                  the slot STARTING: its parent takes it back (mp_shm_newcomer_cancel), and
 *                                                 asks another server
 *   the server, after it                          the process comes up by itself; or it was taken back, and ends
 *   the server, later                             daemons are killed by the system, as the server is their parent there, and
 *                                                 nobody else would end them with theirs. Others go on; of one that is killed
 *                                                 nobody knows how: its exit code is what is told where a host reaps first
 *   a parent, its request not yet taken           the server drops it
 *   a parent, later                               its daemons are killed by the server, within a slice; others go on
 */
#ifndef MP_PROCESS_FORK_SERVER_H
#define MP_PROCESS_FORK_SERVER_H

#include "shm/arena/newcomer.h"
#include "shm/queue/queue.h"

#pragma GCC visibility push(hidden)

typedef struct mp_process_fork_request {
  mp_shm_proc_ref child;
  mp_shm_handle start; /* the queue in which it finds what it is to do */
  uint64_t daemon;
} mp_process_fork_request;

/* fork_client.c */
/* The server that lives, 0: none. */
mp_shm_proc_ref mp_process_fork_server_ref(void);
/* Has it fork a process into the reserved slot. Its pid, *server is whose child it is. Or the slot is FREE, and:
 * -EOWNERDEAD: no server lives; -ETIMEDOUT: it does not answer; -EINTR; -errno of its fork. */
pid_t mp_process_fork_ask(const mp_process_fork_request *q, mp_shm_proc_ref *server, const mp_shm_wait *w);
/* Starts a server by spawn(arg, slot), unless one lives: its pid or -errno; the slot has a reference to `start`. Waits until
 * it is ready. 0; -ECHILD: it ended before; -EINTR; -errno. */
int mp_process_fork_server_start(pid_t (*spawn)(void *arg, mp_shm_proc_ref slot), void *arg, mp_shm_handle start,
                                 const mp_shm_wait *w);

/* This process was forked for that parent, and not by it. */
void mp_process_served_for(mp_shm_proc_ref parent);
/* The pid of this process's parent, as getppid gives it. */
pid_t mp_process_parent_pid(void);
/* As mp_os_tree_stop, with what servers have forked for those. */
int mp_process_tree_stop(pid_t root, pid_t *pids, int max);

/* fork_server.c: in the server */
/* This process is the server now, and takes requests from that queue, which it holds. False: another is. */
bool mp_process_fork_server_begin(mp_shm_handle requests);
/* The next request whose parent still waits for it: the slot is prepared for a fork of this thread. Reaps, tells and kills
 * meanwhile. False: no other process lives. */
bool mp_process_fork_server_next(mp_shm_queue *q, mp_process_fork_request *to);
/* What the fork gave: a pid, or -errno. */
void mp_process_fork_server_forked(const mp_process_fork_request *q, pid_t pid);

#pragma GCC visibility pop
#endif
