/* SPDX-License-Identifier: MIT */
/*
 * The children of this process (layer 1): a process-local table, called by src/bind/process.c and by the exit hook.
 *
 * Invariant: a place is in use from mp_process_child_place until it has both ended and been dropped; only the process that
 * forked a child knows it here (a child of ours begins with an empty table). No Lua and no malloc: exit() runs it.
 *
 * An end is learned from waitpid. Where a host ignores SIGCHLD or reaps first, waitpid says so, and what the child
 * announced in its slot is its exit code; one that announced nothing was killed: by the signal last sent from here, else
 * it is reported as killed by SIGKILL. A child that a fork server has forked (fork_server.h) is the server's to reap: its end
 * is learned from its slot, and how it ended from the server, for which a call that does not wait waits MP_TOLD_WITHIN at most;
 * without one it ended as where a host reaps. Its pid may name another process by then, even another child of the host's: one
 * that runs although the slot says dead is asked when it began.
 */
#ifndef MP_PROCESS_CHILDREN_H
#define MP_PROCESS_CHILDREN_H

#include "shm/arena/deadline.h"
#include "shm/arena/registry.h"

#pragma GCC visibility push(hidden)

enum {
  MP_CHILD_MAX = 1 << 15,
  MP_CHILD_NAME = 64,
  /* Announced with an exit code by a process that called os.exit instead of returning from its target. */
  MP_LEFT_EARLY = 0x100
};

/* A server tells of an end as soon as it runs: only a stopped one takes so long. */
#define MP_TOLD_WITHIN (1000 * MP_MS)

typedef struct mp_process_child {
  mp_shm_proc_ref ref;
  mp_shm_proc_ref server; /* 0: this process reaps it */
  pid_t pid;
  uint64_t since; /* it had begun by then */
  int exitcode;   /* once ended: n, or -SIGNAL */
  int pidfd;      /* -1, or the sentinel somebody asked for */
  int last_signal;
  int next; /* of the free list: place + 1, or 0 */
  bool used, dropped, ended, daemon;
  bool returned; /* once ended: its target returned or raised; it was not killed and called no exit */
  char name[MP_CHILD_NAME];
} mp_process_child;

/* A place for a child about to be forked, or -EAGAIN. Reaps what has ended. */
int mp_process_child_place(void);
/* After the fork. The name may be cut. */
void mp_process_child_started(int place, mp_shm_proc_ref ref, pid_t pid, bool daemon, const char *name);
/* It was forked by that server. */
void mp_process_child_served(int place, mp_shm_proc_ref server);
/* Nobody here refers to it any more: its place is free once it has ended. Also undoes mp_process_child_place. */
void mp_process_child_drop(int place);
/* The facts, valid until the next call here. */
const mp_process_child *mp_process_child_at(int place);
/* True once it has ended; does not wait. */
bool mp_process_child_ended(int place);
/* Waits for its end: 0, -ETIMEDOUT, -EINTR. */
int mp_process_child_wait(int place, const mp_shm_wait *w);
/* A descriptor that turns readable at its end, the same at each call, open until mp_process_child_drop; or -errno. */
int mp_process_child_sentinel(int place);
/* Sends sig. 0 also when it has ended; -errno. */
int mp_process_child_signal(int place, int sig);

/* Learns of ends without a system call for those that run, and frees places. Returns how many have ended since
 * this process began: a caller that remembers the number sees whether there is news. */
unsigned mp_process_children_reap(void);
/* The place of the next child, after that place (-1: the first), whose end is not known; -1 when there is none. */
int mp_process_child_next(int place, bool daemon);
/* In a child: none of the parent's are its own. */
void mp_process_children_forget(void);
/* exit.c */
/* The end of this process: daemons are terminated (SIGTERM, after a second SIGKILL), the others are waited for.
 * Says on stderr who keeps it when that takes over two seconds. */
void mp_process_children_finish(void);
/* Makes every exit() of this process and its children end as it should. 0 or -errno. Idempotent. */
int mp_process_children_hook(void);
/* The exit status of this process, should it end with 1, becomes that one; 0: stays. Its children forget it. */
void mp_process_children_exit_as(int status);
/* This process was made by mproc: exit() in it runs nothing that it inherited. */
void mp_process_children_forked(void);

/* children.c */
/* Any process of the tree, whoever made it: seen through its slot. */
int mp_process_peer_wait(mp_shm_proc_ref ref, pid_t pid, const mp_shm_wait *w);
int mp_process_peer_signal(mp_shm_proc_ref ref, pid_t pid, int sig); /* 0 also when it is dead */

#pragma GCC visibility pop
#endif
