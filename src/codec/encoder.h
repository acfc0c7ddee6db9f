/* SPDX-License-Identifier: MIT */
/*
 * The encoder's state, shared by encode*.c and path.c. Private to the codec.
 *
 * A message is encoded in passes. Each pass assumes as little as it can and
 * gives up with MP_ENC_RETRY when that is not enough; the next starts afresh
 * with more in `mode`. The first pass can neither raise nor run Lua code, so
 * it needs no pcall. The invariant on addresses in `seen`: without
 * MP_MODE_ANCHORED no Lua code and no collection runs during a pass; with it,
 * each object of the message is kept in the anchor table.
 */
#ifndef MP_CODEC_ENCODER_H
#define MP_CODEC_ENCODER_H

#include <lua.h>
#include <stdbool.h>

#include "array_part.h"
#include "codec.h"
#include "format.h"
#include "scratch.h"
#include "seen.h"
#include "string_cache.h"

#pragma GCC visibility push(hidden)

/* Array elements that are fetched at a time. */
#define MP_BATCH 16

/* Lua stack slots are checked for so many levels at once; a pass begins with
 * them. A level takes a batch, a pair, and what encode_object.c needs. */
#define MP_LEVELS_PER_CHECK 4
#define MP_LEVELS_SLOTS (MP_LEVELS_PER_CHECK * (MP_BATCH + 16))

enum mp_codec_status {
  MP_ENC_OK,
  MP_ENC_RETRY,  /* again, with `want` in the mode */
  MP_ENC_FAIL,   /* unsendable: path and reason are on top of the stack */
  MP_ENC_RAISED, /* an error value is on top of the stack */
  MP_ENC_NOMEM
};

enum mp_codec_mode {
  MP_MODE_PROTECTED = 1, /* inside lua_pcall; the anchor is a table */
  MP_MODE_ANCHORED = 2,  /* hooks may run */
  MP_MODE_REBUILT = 4    /* the names of modules were read afresh */
};

enum mp_codec_frame_kind {
  MP_FRAME_ITEM,    /* index `i` of a table, or of the values of a message */
  MP_FRAME_FIELD,   /* under the key at stack index `key` */
  MP_FRAME_KEY,     /* the key at stack index `key` itself */
  MP_FRAME_UPVALUE, /* upvalue `i` of the function at stack index `key` */
  MP_FRAME_HOOK     /* inside what __mproc_encode gave */
};

/* Where the encoder is: one per level, on the C stack, for error paths. */
typedef struct mp_codec_frame {
  struct mp_codec_frame *up;
  enum mp_codec_frame_kind kind;
  int key;
  lua_Integer i;
} mp_codec_frame;

/* Bytes that are taken from a Lua string: they belong at `at` of the scratch. */
typedef struct mp_shm_iovec {
  size_t at;
  const void *base;
  size_t len;
} mp_shm_iovec;

typedef struct mp_codec_encoder {
  struct mp_codec_encoder *next; /* in the pool */
  lua_State *L;
  const char *what; /* the root's name */
  int many;         /* the root is a list of values */
  int parts;        /* errors in hooks are wanted as path and reason */
  bool abroad;      /* for another machine: see mp_codec_encode_abroad */
  unsigned mode;
  unsigned want; /* by a pass that gave up */
  unsigned used; /* what the message turned out to need */
  int anchor;    /* stack index */
  int anchored;  /* entries of the anchor table; unprotected: strings anchored */
  int depth;
  mp_codec_frame *frame;
  mp_heap_block *block;
  unsigned char *buf; /* the message being written, in `block` */
  size_t len;
  size_t cap;
  mp_codec_seen seen;
  mp_codec_string_cache string_cache;
  mp_shm_iovec *iovecs;
  size_t niovecs, iovecs_cap;
  size_t gathered; /* sum of the pieces */
  uint64_t *handles;
  size_t nhandles, handles_cap;
  bool code; /* as mp_codec_message's */
} mp_codec_encoder;

/* Makes room for n more bytes. 0, or MP_ENC_NOMEM. */
int mp_codec_make_room(mp_codec_encoder *e, size_t n);

/* The place for n more bytes, or NULL; the caller then adds to e->len. */
static inline unsigned char *mp_codec_room(mp_codec_encoder *e, size_t n) {
  if (e->cap - e->len < n && mp_codec_make_room(e, n)) return NULL;
  return e->buf + e->len;
}

static inline int mp_codec_put_byte(mp_codec_encoder *e, unsigned v) {
  unsigned char *p = mp_codec_room(e, 1);
  if (!p) return MP_ENC_NOMEM;
  *p = (unsigned char)v;
  e->len++;
  return MP_ENC_OK;
}

static inline int mp_codec_put_number(mp_codec_encoder *e, uint64_t v) {
  unsigned char *p = mp_codec_room(e, MP_VARINT_MAX);
  if (!p) return MP_ENC_NOMEM;
  e->len = (size_t)(mp_codec_put_varint(p, v) - e->buf);
  return MP_ENC_OK;
}

static inline int mp_codec_retry(mp_codec_encoder *e, unsigned want) {
  e->want |= want;
  return MP_ENC_RETRY;
}

/* Encodes the value at the absolute index. The stack is as before on
 * MP_ENC_OK; anything else ends the pass. */
int mp_codec_put_value(mp_codec_encoder *e, int idx);

/* Array and pairs of the table at idx, whose address is ptr, tag included: no
 * metatable, no reference. */
int mp_codec_put_table_body(mp_codec_encoder *e, int idx, const void *ptr);

/* What the plain part leaves: functions, userdata, tables with a metatable or
 * a name. Protected passes only. `entry` is the value's, unset. */
int mp_codec_put_function(mp_codec_encoder *e, int idx);
int mp_codec_put_userdata(mp_codec_encoder *e, int idx);
int mp_codec_put_special_table(mp_codec_encoder *e, int idx, mp_codec_seen_entry *entry);
int mp_codec_put_other(mp_codec_encoder *e, int idx);

/* Looks the object up, anchors it when it is new and the mode says so. 1: it is
 * there already and a reference is written; 0: new, and *entry is to be set;
 * else -status. */
int mp_codec_put_reference(mp_codec_encoder *e, int idx, const void *ptr, mp_codec_seen_entry **entry);

/* Writes a reference with `tag` to an entry and marks its place as shared. */
int mp_codec_put_ref(mp_codec_encoder *e, const mp_codec_seen_entry *entry, enum mp_codec_tag tag);

/* Keeps the value at idx alive until the message is released. Protected. */
void mp_codec_anchor(mp_codec_encoder *e, int idx);

/* Runs a pass over the values at idx.. */
int mp_codec_put_values(mp_codec_encoder *e, int idx, int n);

/* The entry's place: here. */
static inline void mp_codec_entry_here(const mp_codec_encoder *e, mp_codec_seen_entry *entry) {
  entry->offset = e->len + e->gathered;
  entry->at = e->len;
}

/* Pushes the path to where the encoder is. Raises for memory. */
void mp_codec_push_path(mp_codec_encoder *e);

/* Pushes path and reason, and returns MP_ENC_FAIL; the second form keeps a
 * reason that is on top of the stack. Raise for memory. */
int mp_codec_refuse(mp_codec_encoder *e, const char *reason);
int mp_codec_refuse_top(mp_codec_encoder *e);

/* Pushes the object of a handle; see mp_codec_objects. */
int mp_codec_push_object(lua_State *L, uint64_t handle);

#pragma GCC visibility pop

#endif
