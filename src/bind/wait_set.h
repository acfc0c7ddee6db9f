/* SPDX-License-Identifier: MIT */
/* How the objects of a family are waited for (layer 3): what mproc.wait and fileno() know of them. */
#ifndef MP_BIND_WATCH_H
#define MP_BIND_WATCH_H

#include "bind/object.h"
#include "shm/watch.h"

#pragma GCC visibility push(hidden)

typedef struct mp_watchable { /* static; `it` is a box's */
  const mp_family *family;
  mp_bell *(*bell)(void *it); /* rung whenever ready(it) may have become true; NULL: this one cannot be waited for */
  bool (*ready)(void *it);    /* without a lock: what is waited for is there. Looks and hardly waits, calls no Lua */
} mp_watchable;

/* From now on objects of that family can be waited for. Once per Lua state or more often. */
void mp_box_watchable(const mp_watchable *w);
/* The method fileno() -> descriptor, or nil, message, NAME, for such a family. */
int mp_box_fileno(lua_State *L);

/* process.c: fills s and returns true when a handle of a process is at idx. */
bool mp_process_source(lua_State *L, int idx, mp_source *s);

#pragma GCC visibility pop
#endif
