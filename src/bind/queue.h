/* SPDX-License-Identifier: MIT */
/* What bind/batch.c, bind/lease.c, bind/joinable.c and bind/pipe_end.c share with bind/queue.c. */
#ifndef MP_BIND_QUEUE_H
#define MP_BIND_QUEUE_H

#include "bind/object.h"
#include "shm/queue/queue.h"

#pragma GCC visibility push(hidden)

/* Self of a queue's method; raises for anything else. */
mp_lua_box *mp_lua_queue_box(lua_State *L);
static inline mp_shm_queue *mp_lua_queue_self(lua_State *L) { return mp_lua_queue_box(L)->object; }
/* Another argument that must be a queue. */
mp_lua_box *mp_lua_queue_box_at(lua_State *L, int idx);
/* Decodes a message: LUA_OK and its one value pushed, or LUA_ERR* and the error value. Does not end the message. */
int mp_lua_queue_decode(lua_State *L, const mp_shm_incoming *g);
/* A buffer for mp_shm_queue_get and its like, until room_give: the process's own, or, while that is in use, one that is
 * pushed. */
typedef struct mp_lua_queue_room {
  void *bytes; /* MP_INLINE_MAX */
  bool shared;
} mp_lua_queue_room;
extern char mp_lua_queue_buffer[MP_INLINE_MAX];
extern bool mp_lua_queue_buffer_busy; /* a finalizer that gets while a message is decoded has a buffer of its own */
static inline mp_lua_queue_room mp_lua_queue_room_take(lua_State *L) {
  bool shared = !mp_lua_queue_buffer_busy;
  void *bytes = shared ? mp_lua_queue_buffer : lua_newuserdatauv(L, MP_INLINE_MAX, 0);
  mp_lua_queue_buffer_busy = true;
  return (mp_lua_queue_room){bytes, shared};
}
static inline void mp_lua_queue_room_give(const mp_lua_queue_room *room) {
  if (room->shared) mp_lua_queue_buffer_busy = false;
}
/* Decodes a message that was taken and ends it: 0 and its value pushed, or LUA_ERR* and the error value. Then the message
 * is lost, unless memory was wanting, or it is to be kept: it goes back to the queue. */
int mp_lua_queue_use(lua_State *L, mp_shm_queue *q, mp_shm_incoming *g, bool keep);
/* True, and its value pushed, when the message is a number, a boolean or nil: then there is nothing to end. */
static inline bool mp_lua_queue_scalar(lua_State *L, const mp_shm_incoming *g) {
  return g->large < 0 && !g->nhandles && mp_codec_decode_scalar(L, g->data, g->len);
}
/* Waits for a message and pushes its value: as mp_lua_queue_use, or what mp_shm_queue_get says. */
int mp_lua_queue_get(lua_State *L, mp_shm_queue *q, const mp_shm_wait *w);
/* Any failure but the expected outcomes of put and get. */
int mp_lua_queue_failed(lua_State *L, int err);
/* What an empty-handed get or lease returns: err > 0: raises the error value at the top. */
int mp_lua_queue_push_no_message(lua_State *L, int err);
/* An encoded message, as put takes it. */
mp_shm_outgoing mp_lua_outgoing(const mp_codec_message *m);
/* Waits for a message that passes t (NULL: any) and pushes its value: 0, or what mp_shm_queue_get_if returned, or LUA_ERR* with
 * the error value pushed. What is decoded may close the object at `holder`, which keeps q alive: it is held meanwhile. */
int mp_lua_receive(lua_State *L, mp_shm_queue *q, mp_shm_handle holder, const mp_shm_queue_test *t,
                   const mp_shm_wait *w);

/* Methods for the queues' metatables, ended by NULL. */
extern const luaL_Reg mp_lua_lease_methods[], mp_lua_joinable_methods[];
/* Pushes an open lease of the queue's next message, *got in it; or returns what mp_shm_queue_lease says of why not, with an
 * ended lease pushed. ended: index of an ended lease that may be used again, if one is there; 0: none. */
int mp_lua_lease_push(lua_State *L, mp_lua_box *queue, int ended, const mp_shm_incoming **got, const mp_shm_wait *w);
/* The message of the open lease at idx; raises when it is none. */
const mp_shm_incoming *mp_lua_lease_incoming(lua_State *L, int idx);
/* The message of the lease at idx is delivered: 0. Raises when it has ended before, or is another process's. */
int mp_lua_lease_done(lua_State *L, int idx);
/* batch.c: methods. */
int mp_lua_queue_put_many(lua_State *L);
int mp_lua_queue_get_many(lua_State *L);
int mp_lua_queue_items(lua_State *L);
void mp_lua_open_batch(lua_State *L);
/* Makes the metatable of leases. */
void mp_lua_open_lease(lua_State *L);

#pragma GCC visibility pop
#endif
