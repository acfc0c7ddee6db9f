/* SPDX-License-Identifier: MIT */
/*
 * The registry of processes (layer 1): one slot per process of the tree. Called by everything in shm and by L3.
 *
 * A process is alive exactly while it holds its slot's `life`, a robust mutex that the kernel releases at its
 * death: asking costs one load and cannot be fooled by a reused pid.
 *
 * word       written by                                 states
 * state      reserver: FREE->STARTING (arena lock);     FREE, STARTING, LIVE, CLEANED, DEAD. gen changes with each FREE->STARTING.
 *            the child itself: STARTING->LIVE (CAS);    A killed reserver leaves STARTING: freed after MP_START_GRACE,
 *            cleaner: LIVE->CLEANED, then takes life,   a child that comes later than that finds its slot gone and exits.
 *            CLEANED->DEAD or FREE (holds life);        CLEANED is dead, though a cleaner may hold its life
 *            the parent: DEAD->FREE (arena lock)
 *            a sweep: STARTING->FREE (arena lock) once it has found that there is no child, or none any more
 * parent     the reserver, before STARTING; the parent  who will release it; 0: nobody, or it has let go of it
 *            once more, when it lets go (relaxed: by
 *            then `state` is what counts)
 * since      the reserver, before STARTING              when it was reserved
 * exit       the process itself, once, before it ends   MP_EXIT_NONE, else 0..255: what it meant to exit with
 * pid        the reserver once it has forked, and       0: not known yet
 *            the process itself, before LIVE: the same
 * nclaimed   the process itself                         chunks it holds in state HELD or READING; raised before the
 *                                                       claim, lowered after the release: 0 in a dead slot means no scan
 * asleep     the process itself                         a hint for spinning; wrong values cost time only
 * wait_set   the process itself                         the chunk (index + 1) that says what it observes (wait_set.h),
 *                                                       or 0; in a dead slot meaningless
 * private_wait                                          the word of wait_queue.h that it alone sleeps on
 *            the process itself, asleep: ARMED, awake:
 *            IDLE; a waker: ARMED->IDLE (CAS)
 * status     a fork server, under the arena lock: it    0: nothing to tell; MP_STATUS_*. Its child is nobody's else to
 *            has reaped the process, or could not fork  reap. Never written twice
 * name       the reserver, before the fork              for messages; empty when it was forked by something else
 */
#ifndef MP_SHM_ARENA_REGISTRY_H
#define MP_SHM_ARENA_REGISTRY_H

#include "os/os.h"

#pragma GCC visibility push(hidden)

typedef uint64_t mp_shm_proc_ref; /* gen << 32 | slot; 0 is nobody */
enum { MP_EXIT_NONE = -1, MP_PROC_MOST = 4096 };
enum { MP_PROC_NAME = 76 - (int)sizeof(mp_os_mutex) }; /* what a slot has left: 36 on x86-64, 28 on arm64 */

/* Maps the arena (first call in the tree) and registers this process and thread. 0 or -errno: -EFBIG, the limit of file sizes
 * leaves it no room; -ENOMEM, that of the address space; -ENOKEY, the system gives no randomness. Idempotent. */
int mp_shm_attach(void);

extern MP_PROCESS_LOCAL mp_shm_proc_ref mp_shm_my_ref; /* this process, or 0: not registered */
static inline mp_shm_proc_ref mp_shm_proc_self(void) { return mp_shm_my_ref; }
/* What a process keeps for itself says who noted it (mp_shm_proc_self). True when that was another, which was forked into
 * this one, or nobody: then it is not this process's, which begins anew. */
static inline bool mp_shm_inherited(mp_shm_proc_ref noted_by) { return !noted_by || noted_by != mp_shm_my_ref; }
/* Reserves a slot for a child about to be forked by this process and copies this process's references into it.
 * The next fork() of this thread uses it (otherwise fork() reserves one by itself, in its atfork handler).
 * 0, -EUSERS (no slot is left), -EAGAIN (the arena lock was not to be had). */
int mp_shm_proc_reserve(mp_shm_proc_ref *child);
/* After the fork, by the parent: a child that is killed before it comes up can be found dead by its pid. */
void mp_shm_proc_forked(mp_shm_proc_ref child, pid_t pid);
/* The same for a slot that another process has reserved for that child (newcomer.h): the next fork of this thread uses it. */
void mp_shm_proc_adopt(mp_shm_proc_ref child);
/* Undoes it after a fork that failed. */
void mp_shm_proc_unreserve(mp_shm_proc_ref child);
/* How many processes there is room for at once, MP_PROC_MOST at most. */
uint32_t mp_shm_proc_room(void);
/* True while it has come up and is not dead: it surely is the process that has its pid. */
bool mp_shm_proc_lives(mp_shm_proc_ref ref);
/* True once that process is dead or its slot has moved on. A child that was forked but has not come up counts as alive. */
bool mp_shm_proc_dead(mp_shm_proc_ref ref);
/* What it announced by mp_shm_proc_set_exit, or MP_EXIT_NONE. Valid until mp_shm_proc_release. */
int mp_shm_proc_exit(mp_shm_proc_ref ref);
void mp_shm_proc_set_exit(int code);
/* When objects know something of this process: lets go of all that it holds, so that nobody waits for a sweep to
 * learn that it has left. It must not touch mproc any more, and end. In sweep.c. */
void mp_shm_proc_unregister(void);
/* The parent has learned of the end: cleans up after the dead process and lets its slot go. Harmless when repeated.
 * never_came: the caller knows by waitpid that the process is gone even though it may never have come up. */
void mp_shm_proc_release(mp_shm_proc_ref ref, bool never_came);
pid_t mp_shm_proc_pid(mp_shm_proc_ref ref);                       /* 0 when it has not come up or has moved on */
void mp_shm_proc_set_name(mp_shm_proc_ref ref, const char *name); /* of a reserved process, before the fork */
/* Copies the name of the process there into to[MP_PROC_NAME]: empty when it has none or has moved on. */
void mp_shm_proc_name(mp_shm_proc_ref ref, char *to);

/* Whether any process of the tree lives, but for that one; 0: for one that has no place in it. */
bool mp_shm_proc_any_but(mp_shm_proc_ref one);

/* Cleans up after every process found dead. Called when a wait has lasted a slice. */
void mp_shm_sweep(void);
/* The same, but once a slice at most: for those who never wait so long, and must learn of deaths all the same. */
void mp_shm_sweep_now_and_then(void);

/* For mp_shm_stats and tests */
typedef struct mp_shm_stats {
  uint32_t objects, processes, chunks; /* live objects, registered processes, chunks in use */
  uint64_t used, hot, size;            /* bytes: in used chunks, in free chunks kept resident, of the arena */
} mp_shm_stats;
void mp_shm_stats_get(mp_shm_stats *s);

/* False in a thread or an unregistered fork that must not touch the arena. One thread-local load. */
extern MP_OS_THREAD_LOCAL bool mp_shm_is_usable;
static inline bool mp_shm_usable(void) { return mp_shm_is_usable; }

#pragma GCC visibility pop
#endif
