/* SPDX-License-Identifier: MIT */
/*
 * The codec: Lua values to bytes and back. Layer 2: knows lua.h, nothing of
 * the shared memory. Used by the binders.
 *
 * A message is encoded once, in the sender, before any lock is taken; its
 * pieces lie in a process-wide scratch and in Lua strings, and stay where they
 * are until mp_codec_release. The format is in format.h.
 */
#ifndef MP_CODEC_CODEC_H
#define MP_CODEC_CODEC_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Tables, functions and hook results may nest this deep in a message. */
#define MP_CODEC_MAX_DEPTH 1000

/* Strings of this many bytes and more are not copied into the scratch. */
#define MP_CODEC_GATHER 512

#define MP_CODEC_SMALL 64

typedef struct mp_codec_iov {
  const void *base;
  size_t len;
} mp_codec_iov;

/* How L3 teaches the codec about shared objects. Every member may be NULL; none
 * runs Lua code. */
typedef struct mp_codec_objects {
  /* 1: a shareable object, *handle is set; 0: not ours; -1: ours, but it
   * cannot travel: pushes the reason, a string. */
  int (*handle_of)(lua_State *L, int idx, uint64_t *handle);
  /* Pushes the userdata of a handle and returns 1; 0, nothing pushed, when no
   * such object lives. May raise, for memory only. */
  int (*push)(lua_State *L, uint64_t handle);
} mp_codec_objects;

/* Copies *o. Once per process. */
void mp_codec_set_objects(const mp_codec_objects *o);

/*
 * An encoded message: pieces to be copied one after another, valid until
 * mp_codec_release. It points into itself: never copy or move the struct.
 */
typedef struct mp_codec_message {
  const mp_codec_iov *iov;
  size_t niov;
  size_t len; /* sum of the pieces */
  const uint64_t *handles;
  uint32_t nhandles; /* each object once */
  bool code;         /* functions, or objects whose hooks a receiver calls, are in it */

  /* private */
  void *block;
  size_t start;
  size_t end;
  mp_codec_iov own[2];
  unsigned char small[MP_CODEC_SMALL];
} mp_codec_message;

/* Prepares this Lua state: names of modules, the searcher that keeps them
 * fresh. Idempotent; encode and decode call it when they need it. Raises for
 * memory. */
void mp_codec_open(lua_State *L);

/*
 * Encodes the value at idx; `what` names it in error paths. Needs one free
 * stack slot. Returns 0 with m filled and one anchor pushed, which the caller
 * keeps on the stack until release; or -1 with an error value pushed and
 * nothing to release. Never raises. Runs hooks, which may encode in turn.
 */
int mp_codec_encode(lua_State *L, int idx, const char *what, mp_codec_message *m);

/* After -1: true when a value cannot travel, whose path the error, a string, tells; false when the error is a hook's own,
 * or one of memory. */
bool mp_codec_refused(void);

/* The same for the n values from idx on, as one message. */
int mp_codec_encode_many(lua_State *L, int idx, int n, const char *what, mp_codec_message *m);

/*
 * The same two for another machine, which decodes without flags: refused is what would mean nothing there, or would make
 * it run code: functions, named ones too, shared objects, objects that a decode hook or a finalizer belongs to.
 */
int mp_codec_encode_abroad(lua_State *L, int idx, const char *what, mp_codec_message *m);
int mp_codec_encode_many_abroad(lua_State *L, int idx, int n, const char *what, mp_codec_message *m);

#define MP_CODEC_SCALAR 16

/* Writes the message of a number, a boolean or nil to `to`, MP_CODEC_SCALAR bytes: its length; 0 when the value at idx is
 * something else. Never raises, runs nothing. */
size_t mp_codec_encode_scalar(lua_State *L, int idx, unsigned char *to);

/* A list whose items can be read where Lua keeps them: good until it is changed, by whatever runs. */
typedef struct mp_codec_list {
  size_t n; /* the items 1 to n come first, in their order, when lua_next goes through it. May be too small */
  const unsigned char *items; /* or NULL: they cannot be read */
} mp_codec_list;
/* Of the table at idx. Raises for memory. */
mp_codec_list mp_codec_list_at(lua_State *L, int idx);
/* As mp_codec_encode_scalar, for item i, counted from 1; 0 also when it cannot be read so. */
size_t mp_codec_encode_item(const mp_codec_list *list, size_t i, unsigned char *to);

/* Gives the scratch back, in any order. Never raises, touches no stack. */
void mp_codec_release(lua_State *L, mp_codec_message *m);

enum {
  MP_CODEC_FUNCTIONS = 1, /* functions, decode hooks and finalizers */
  MP_CODEC_HANDLES = 2,   /* shared objects */
  MP_CODEC_REQUIRE = 4,   /* modules that are not loaded yet */
  MP_CODEC_PEER = 8       /* allows nothing: a refusal says what connections need for it */
};

/*
 * Decodes n bytes with what `flags` allows. Returns the number of values
 * pushed, or -1 with one message pushed when the bytes are bad. Raises for
 * memory, and what decode hooks and require raise. The bytes may change
 * meanwhile: every length is read once.
 */
int mp_codec_decode(lua_State *L, const void *p, size_t n, unsigned flags);

/* 1, one value pushed, when the message is nil, a boolean or a number; else 0.
 * Never raises; needs one free stack slot. */
int mp_codec_decode_scalar(lua_State *L, const void *p, size_t n);

/* The bytes of a message that is one string, and how many; NULL when it is
 * something else. Reads the message's head only. */
const void *mp_codec_whole_string(const void *p, size_t n, size_t *len);

/* True when the message is one shared object and nothing else. Reads its bytes only. */
bool mp_codec_whole_object(const void *p, size_t n, uint64_t *handle);

/* 0 when the value can travel; else 1 with path and reason pushed. Raises for
 * memory. */
int mp_codec_unsendable(lua_State *L, int idx, const char *what);

/* Lets tables with the metatable at mt_idx travel under `name`; decode_idx is
 * the function that makes the value from what __mproc_encode gave, or 0.
 * Raises when the name or the metatable is taken by another. */
void mp_codec_register(lua_State *L, const char *name, int mt_idx, int decode_idx);

/* Bytes of scratch held by messages; 0 when none is held or being made. */
size_t mp_codec_scratch_used(void);

#pragma GCC visibility pop

#endif
