/* SPDX-License-Identifier: MIT */
/*
 * What every binding shares (layer 3): argument checks, results, waits. Only src/bind and src/mproc.c include it.
 * Invariant: nothing here, and nothing that calls it, holds a lock of shm while it calls Lua.
 */
#ifndef MP_BIND_BIND_H
#define MP_BIND_BIND_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "bind/codec_bind.h"
#include "shm/arena/deadline.h"

#pragma GCC visibility push(hidden)

/* Metatable names, each standing here alone. */
#define MP_QUEUE_TYPE "mproc.Queue"
#define MP_SIMPLE_QUEUE_TYPE "mproc.SimpleQueue"
#define MP_JOINABLE_QUEUE_TYPE "mproc.JoinableQueue"
#define MP_LEASE_TYPE "mproc.Lease"
#define MP_LOCK_TYPE "mproc.Lock"
#define MP_RLOCK_TYPE "mproc.RLock"
#define MP_VALUE_TYPE "mproc.Value"
#define MP_ARRAY_TYPE "mproc.Array"
#define MP_DICT_TYPE "mproc.Dict"
#define MP_LIST_TYPE "mproc.List"
#define MP_SET_TYPE "mproc.Set"
#define MP_NAMESPACE_TYPE "mproc.Namespace"
#define MP_MEMORY_TYPE "mproc.SharedMemory"
#define MP_NAMED_MEMORY_TYPE "mproc.SharedMemory.named"
#define MP_MEMORY_VIEW_TYPE "mproc.MemoryView"
#define MP_BARRIER_TYPE "mproc.Barrier" /* a table, with a box in it: */
#define MP_BARRIER_BOX "mproc.Barrier.box"
#define MP_RWLOCK_TYPE "mproc.RWLock"
#define MP_CONNECTION_TYPE "mproc.Connection"
#define MP_SEMAPHORE_TYPE "mproc.Semaphore"
#define MP_BOUNDED_SEMAPHORE_TYPE "mproc.BoundedSemaphore"
#define MP_EVENT_TYPE "mproc.Event"
#define MP_CONDITION_TYPE "mproc.Condition"
#define MP_DESCRIPTOR_TYPE "mproc.Descriptor"
#define MP_SOCKET_CONNECTION_TYPE "mproc.SocketConnection"
#define MP_LISTENER_TYPE "mproc.listener" /* never seen by users, as: */
#define MP_BYTES_TYPE "mproc.bytes"
#define MP_COMMAND_TYPE "mproc.Command" /* never seen by users */
#define MP_VIEW_TYPE "mproc.View"       /* never seen by users */
#define MP_GUARD_TYPE "mproc.Guard"
#define MP_INBOX_TYPE "mproc.Inbox" /* never seen by users, as: */
#define MP_SHIELD_TYPE "mproc.Shield"

/* newcomer.c: joins the tree of the process that has executed this one, as its environment says. 1: it has; 0: nobody has;
 * -errno. */
int mp_lua_join_tree(void);

/* Raises unless this thread may use mproc; attaches the process on first use. Every binding that touches shm calls it. */
void mp_lua_enter(lua_State *L);

/* The optional timeout at arg as a deadline: nil or none is MP_FOREVER, a number is seconds; anything else raises
 * (a boolean with the remedy: `block` is Python's). */
uint64_t mp_lua_deadline_of(lua_State *L, int arg);
static inline uint64_t mp_lua_deadline(lua_State *L, int arg) {
  return lua_gettop(L) < arg ? MP_FOREVER : mp_lua_deadline_of(L, arg);
}

/* Prepares a wait that ends when lua.c's SIGINT handler has asked for it. */
int mp_lua_wants_interrupt(void *L);
static inline mp_shm_wait mp_lua_wait(lua_State *L, uint64_t deadline) {
  return (mp_shm_wait){deadline, mp_lua_wants_interrupt, L};
}
/* True when L has a hook that is neither debug.sethook's nor the one of lua.c's SIGINT handler: a profiler's, that does not
 * raise. */
bool mp_lua_is_foreign_hook(lua_State *L);
/* After code of the program's: a hook of debug.sethook's that it has left in this thread, where there was none before, ends
 * here, or it would raise in mproc's own code. */
void mp_lua_drop_hook(lua_State *L, lua_Hook before);
/* True when lua.c's SIGINT handler has struck, and its error has not been raised yet. */
bool mp_lua_is_interrupted(lua_State *L);
/* In a forked child: what struck the parent before the fork is the parent's to raise. */
void mp_lua_forget_interrupt(lua_State *L);
/* A hook that raises in a worker that is told to end. */
void mp_lua_raise_terminated(lua_State *L, lua_Debug *ar);
/* After a wait returned -EINTR: raises "interrupted!". */
int mp_lua_interrupted(lua_State *L);

/* Pushes nil, "what: strerror", "ENAME" for a negative errno and returns 3. */
int mp_lua_fail(lua_State *L, int err, const char *what);

#define MP_FULL_ARENA "the arena is full; read some messages first, or set MPROC_ARENA higher before the program starts"
/* Raises at the line of the user's program that called into mproc. */
int mp_lua_misuse(lua_State *L, const char *what);
/* What a failure that is no expected outcome becomes: "interrupted!" raised, or nil, message, NAME. */
int mp_lua_push_failure(lua_State *L, int err, const char *what);

/* Logs that self, at index 1, was left behind by a process that died. */
void mp_lua_note_abandoned(lua_State *L);

/* One per file: adds its functions to the module table on the stack's top. */
void mp_lua_open_errors(lua_State *L);
void mp_lua_open_shield(lua_State *L);
void mp_lua_open_object(lua_State *L);
void mp_lua_open_queue(lua_State *L);
void mp_lua_open_pool(lua_State *L);
void mp_lua_open_end(lua_State *L);
void mp_lua_open_scope(lua_State *L);
void mp_lua_open_mutex(lua_State *L);
void mp_lua_open_value(lua_State *L);
void mp_lua_open_array(lua_State *L);
void mp_lua_open_memory(lua_State *L);      /* after mp_lua_open_object, mp_lua_open_codec */
void mp_lua_open_memory_view(lua_State *L); /* the same */
void mp_lua_open_barrier(lua_State *L);
void mp_lua_open_rwlock(lua_State *L);
void mp_lua_open_semaphore(lua_State *L);
void mp_lua_open_event(lua_State *L);
void mp_lua_open_condition(lua_State *L); /* after mp_lua_open_mutex */
void mp_lua_open_dict(lua_State *L);
void mp_lua_open_arena(lua_State *L);
void mp_lua_open_heap(lua_State *L);
void mp_lua_open_process(lua_State *L);
void mp_lua_open_newcomer(lua_State *L);
void mp_lua_open_system(lua_State *L);
void mp_lua_open_worker(lua_State *L);
void mp_lua_open_log(lua_State *L);
void mp_lua_open_watch(lua_State *L);
void mp_lua_open_frozen(lua_State *L);     /* after mp_lua_open_object */
void mp_lua_open_descriptor(lua_State *L); /* after mp_lua_open_object */
void mp_lua_open_socket(lua_State *L);
void mp_lua_open_listener(lua_State *L);
void mp_lua_open_spawn(lua_State *L);
void mp_lua_open_lines(lua_State *L);
void mp_lua_open_program(lua_State *L);
void mp_lua_open_trace(lua_State *L);
void mp_lua_open_view(lua_State *L);
void mp_lua_open_unit(lua_State *L);

#pragma GCC visibility pop
#endif
