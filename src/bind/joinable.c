/* SPDX-License-Identifier: MIT */
/* What a JoinableQueue has besides a queue's methods. */
#include "shm/joinable.h"

#include <errno.h>

#include "bind/queue.h"

/* task_done() */
static int queue_task_done(lua_State *L) {
  if (mp_joinable_done(mp_queue_self(L)) == 0) return 0;
  return mp_bind_misuse(L, "task_done() was called more often than messages were taken from the queue");
}

/* join([timeout]) -> true[, "abandoned"] | false, "timeout" */
static int queue_join(lua_State *L) {
  mp_queue *q = mp_queue_self(L);
  mp_wait w = mp_bind_wait(L, mp_bind_deadline(L, 2));
  int r = mp_joinable_join(q, &w);
  if (r < 0 && r != -ETIMEDOUT) return mp_bind_trouble(L, r, "queue");
  lua_pushboolean(L, r >= 0);
  if (r == 0) return 1;
  if (r == MP_ABANDONED) mp_bind_note_abandoned(L);
  lua_pushstring(L, r == MP_ABANDONED ? "abandoned" : "timeout");
  return 2;
}

/* unfinished() -> messages put and not done */
static int queue_unfinished(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mp_joinable_unfinished(mp_queue_self(L)));
  return 1;
}

const luaL_Reg mp_joinable_methods[] = {
    {"task_done", queue_task_done}, {"join", queue_join}, {"unfinished", queue_unfinished}, {NULL, NULL}};
