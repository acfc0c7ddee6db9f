/* SPDX-License-Identifier: MIT */
/* How the objects of a class are waited for (layer 3): what mproc.wait and fileno() know of them. */
#ifndef MP_BIND_WAIT_SET_H
#define MP_BIND_WAIT_SET_H

#include "bind/object.h"
#include "shm/wait/wait_set.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_watchable { /* static; `it` is a box's */
  const mp_lua_object_class *class;
  mp_shm_wait_queue *(*wait_queue)(
      void *object);           /* woken whenever ready(it) may have become true; NULL: this one cannot be waited for */
  bool (*ready)(void *object); /* without a lock: what is waited for is there. Looks and hardly waits, calls no Lua */
} mp_lua_watchable;

/* From now on objects of that class can be waited for. Once per Lua state or more often. */
void mp_lua_box_watchable(const mp_lua_watchable *w);
/* Adds to the methods of the class `name`, of such objects, fileno() -> descriptor, or nil, message, NAME, and what other
 * loops ask for: getfd, pollfd, events, timeout, dirty. */
void mp_lua_box_for_loops(lua_State *L, const char *name);

/* process.c: fills s and returns true when a handle of a process is at idx. */
bool mp_lua_process_source(lua_State *L, int idx, mp_shm_wait_source *s);

#pragma GCC visibility pop
#endif
