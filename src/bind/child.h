/* SPDX-License-Identifier: MIT */
/* What bind/newcomer.c shares with bind/process.c: handles of children, and what a child runs. */
#ifndef MP_BIND_CHILD_H
#define MP_BIND_CHILD_H

#include "bind/bind.h"
#include "shm/arena/registry.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_start {
  bool daemon, close_fds;
  const char *name;
} mp_lua_start;

/* A place among the children for the new handle at index 1, which has no process yet; or -errno. */
int mp_lua_child_place(lua_State *L);
/* The handle's process runs. server: 0, or who has forked it. */
void mp_lua_child_started(lua_State *L, int place, mp_shm_proc_ref ref, pid_t pid, mp_shm_proc_ref server,
                          const mp_lua_start *how);
/* nil, message, NAME of a start that failed. */
int mp_lua_no_child(lua_State *L, int err, const char *name);
/* In a fresh fork. On the stack's top: the entry and its argument; what the entry returns is the exit code. */
_Noreturn void mp_lua_be_child(lua_State *L, const mp_lua_start *how, pid_t parent);
/* The same in a process that has executed a program. */
_Noreturn void mp_lua_run_child(lua_State *L);

#pragma GCC visibility pop
#endif
