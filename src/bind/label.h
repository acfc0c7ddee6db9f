/* SPDX-License-Identifier: MIT */
/*
 * Labelled messages, for the bindings of pools (layer 3): three integers before the values of a message, which the receiver
 * gets even when the values cannot be decoded; so that whoever shares out work always knows whose message it was.
 * What they say stands in lua/mproc/pool_label.lua. Such queues are the pool's own: get() of one of these messages would
 * make no sense of it.
 * Invariant: a message is {a, b, c}, in 32 bytes, then what the codec makes of any number of values.
 */
#ifndef MP_BIND_LABEL_H
#define MP_BIND_LABEL_H

#include "bind/queue.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_message_header {
  int64_t a, b, c, unused;
} mp_lua_message_header;

/* The monotonic clock, in seconds as Lua has them. */
lua_Number mp_lua_label_now(void);

/* Puts the values from index `first` on, which are called `what`: 0 and *bytes; or how many values it has pushed that say
 * why not: false, what the codec says; or nil, message, NAME. For queues without a maxsize: it waits for nobody. */
int mp_lua_label_post(lua_State *L, mp_shm_queue *q, const mp_lua_message_header *head, const char *what, int first,
                      size_t *bytes);

/* Takes the next message: 0, *head set and pushed: a, b, c, bytes, true, values... or a, b, c, bytes, false, error; or what
 * mp_shm_queue_get says, nothing pushed. */
int mp_lua_label_fetch(lua_State *L, mp_shm_queue *q, mp_lua_message_header *head, const mp_shm_wait *w);

mp_lua_message_header mp_lua_message_header_of(const mp_shm_incoming *g);
/* Pushes true and the message's values, or false and the error. */
void mp_lua_label_push_values(lua_State *L, const mp_shm_incoming *g);

#pragma GCC visibility pop
#endif
