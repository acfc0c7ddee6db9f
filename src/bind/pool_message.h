/* SPDX-License-Identifier: MIT */
/*
 * Messages between a pool's owner and its workers (layer 3): a header, then what the codec makes of any number of values.
 * The receiver gets the header even when the values cannot be decoded, so whoever shares out work always knows whose
 * message it was. lua/mproc/pool/protocol.lua gives all this to Lua, where each field is a value of its own.
 * Such queues are a pool's own: get() of one of these messages would make no sense of it.
 *
 *           kind      who                 value                   values
 * task      a mode    cancel flag, or 0   function, or 0          the function when its number is 0; then for CALL the
 *                                                                 arguments, else the list of items
 * result    a status  the worker's slot   nanoseconds that the    the result, the error, or what the status says
 *                                         items took, or 0
 * function  a notice  -                   -                       what the notice says; chunk is the function's number
 *
 * A chunk is a run of items of one job that went out together; offsets count its items from 0. Its items are run and
 * reported in order. A worker may cut a chunk and put the rest back, as a task with the same chunk and a later offset.
 */
#ifndef MP_BIND_POOL_MESSAGE_H
#define MP_BIND_POOL_MESSAGE_H

#include "bind/queue.h"
#include "codec/codec.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_pool_header {
  int64_t chunk;
  uint32_t offset; /* the first item, or the one reported */
  uint32_t count;  /* items */
  uint32_t kind, who;
  int64_t value;
} mp_lua_pool_header;
_Static_assert(sizeof(mp_lua_pool_header) == 32, "values are aligned to 16 bytes");

/* How an item is given to the function, and what of it comes back; flags. */
enum {
  MP_POOL_MAP,    /* f(item) -> its first result */
  MP_POOL_STAR,   /* f(unpacked item) -> its first result */
  MP_POOL_CALL,   /* one item: f(...) -> all its results */
  MP_POOL_RETIRE, /* no task: the worker that takes it leaves */
  MP_POOL_VERB_MASK = 3,
  MP_POOL_NO_RESULT = 4, /* the results are not wanted */
  MP_POOL_TEST = 8,      /* only whether they are true */
  MP_POOL_WHOLE = 16,    /* the chunk shall not be cut */
  MP_POOL_TIMED = 32     /* each item is noted in the worker's words when it begins */
};

/* What a worker reports: of an item up to CUT, of itself from READY on. */
enum {
  MP_POOL_DONE,     /* value: what an item gave */
  MP_POOL_RETURNED, /* of a single task; values: all that it returned */
  MP_POOL_FAILED,   /* value: the error */
  MP_POOL_SKIPPED,  /* of `count` items */
  MP_POOL_CUT,      /* the chunk was cut before this offset */
  MP_POOL_READY,    /* it has started; chunk: its pid */
  MP_POOL_BROKEN,   /* its initializer failed; value: the error */
  MP_POOL_LEAVING,  /* it was told to leave, and does; chunk: its pid */
  MP_POOL_FLEET     /* of a pool over several machines: what its keeper knows of them; chunk: the keeper's pid */
};

/* Values: the function, or what other machines know it by; -; package.path and package.cpath; - (chunk: a cancel flag that the
 * owner has set to ASKED). */
enum { MP_POOL_FUNCTION, MP_POOL_FORGET, MP_POOL_PATHS, MP_POOL_CANCEL };

enum { MP_POOL_RESULTS_MAX = 200000 /* of a task */ };

/* What values may hold: MP_CODEC_* for decoding. Between processes of this tree all; from and to other machines plain values. */
#define MP_POOL_HOME (MP_CODEC_FUNCTIONS | MP_CODEC_HANDLES | MP_CODEC_REQUIRE)
#define MP_POOL_ABROAD 0U

/* The monotonic clock, in seconds as Lua has them. */
lua_Number mp_lua_pool_now(void);

/* Puts the values from index `first` on, which are called `what`: 0 and *bytes; or how many values it has pushed that say
 * why not: false, what the codec says; or nil, message, NAME. For queues without a maxsize: it waits for nobody. */
int mp_lua_pool_post(lua_State *L, mp_shm_queue *q, const mp_lua_pool_header *head, const char *what, int first,
                     size_t *bytes);
/* What an encoded message ends in: as mp_lua_pool_post. The message is released. */
int mp_lua_pool_send(lua_State *L, mp_shm_queue *q, const mp_lua_pool_header *head, mp_codec_message *m);
/* The arguments of post from OFFSET on, as a header. */
mp_lua_pool_header mp_lua_pool_check_header(lua_State *L);
/* The arguments of post. */
enum {
  MP_POST_QUEUE = 1,
  MP_POST_CHUNK,
  MP_POST_OFFSET,
  MP_POST_KIND,
  MP_POST_COUNT,
  MP_POST_WHO,
  MP_POST_VALUE,
  MP_POST_WHAT,
  MP_POST_VALUES
};

mp_lua_pool_header mp_lua_pool_header_of(const mp_shm_incoming *g);
/* Pushes chunk, offset, kind, count, who, value. */
void mp_lua_pool_push_header(lua_State *L, const mp_lua_pool_header *head);
/* Pushes true and the message's values, or false and the error. flags: MP_POOL_HOME or MP_POOL_ABROAD. */
void mp_lua_pool_push_values(lua_State *L, const mp_shm_incoming *g, unsigned flags);
/* Pushes true and a table of the values with their n, or false and the error. */
void mp_lua_pool_push_packed(lua_State *L, const mp_shm_incoming *g, unsigned flags);

/* pool_inbox.c. Takes the next message of the inbox at idx and pushes it as receive does; it is done by that. 0, or an error
 * with nothing pushed. */
int mp_lua_pool_take(lua_State *L, int idx, mp_shm_wait *w, mp_lua_pool_header *head);

/* pool_worker.c. lua_pcall of what is on the stack, with the message handler at idx; a hook that it sets ends with it. */
int mp_lua_pool_call(lua_State *L, int nargs, int nresults, int handler);
/* A worker's words at idx. An item begins: returns the time. */
uint64_t *mp_lua_pool_check_words(lua_State *L, int idx);
uint64_t mp_lua_pool_note_begin(uint64_t *words, int64_t chunk, uint32_t offset);

/* pool_far.c, pool_inbox.c, pool_items.c, pool_stream.c, pool_worker.c: add their functions to the table at the top. */
void mp_lua_open_pool_far(lua_State *L);
void mp_lua_open_pool_exchange(lua_State *L);
void mp_lua_open_pool_inbox(lua_State *L);
void mp_lua_open_pool_items(lua_State *L);
void mp_lua_open_pool_stream(lua_State *L);
void mp_lua_open_pool_worker(lua_State *L);

#pragma GCC visibility pop
#endif
