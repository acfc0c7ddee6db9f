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

typedef struct mp_label {
  int64_t a, b, c, unused;
} mp_label;

/* The monotonic clock, in seconds as Lua has them. */
lua_Number mp_label_now(void);

/* Puts the values from index `first` on, which are called `what`: 0 and *bytes; or how many values it has pushed that say
 * why not: false, what the codec says; or nil, message, NAME. For queues without a maxsize: it waits for nobody. */
int mp_label_post(lua_State *L, mp_queue *q, const mp_label *head, const char *what, int first, size_t *bytes);

/* Takes the next message: 0, *head set and pushed: a, b, c, bytes, true, values... or a, b, c, bytes, false, error; or what
 * mp_queue_get says, nothing pushed. */
int mp_label_fetch(lua_State *L, mp_queue *q, mp_label *head, const mp_wait *w);

mp_label mp_label_of(const mp_got *g);
/* Pushes true and the message's values, or false and the error. */
void mp_label_push_values(lua_State *L, const mp_got *g);

#pragma GCC visibility pop
#endif
