/* SPDX-License-Identifier: MIT */
/*
 * What a pool's owner has fetched and not accounted for yet (layer 3). A message leaves the queue for an entry of the inbox
 * before any user code runs, and stays there until done(): so no result is ever held by local variables alone. What tears
 * the owner's code, or uses the pool while a message is decoded, finds it here and accounts for it instead.
 * Called by lua/mproc/pool/, and by lua/mproc/manager/, whose requests and replies have the same header.
 *
 * Messages are fetched into a block, several at once where many are wanted. An entry is in the list `first` from the time
 * it is fetched until it is done, oldest first. While it is decoded its `depth` counts by how many: one that is done
 * meanwhile is freed by the last of these; a block serves again when all its entries are. A decode hook or a finalizer that
 * receives decodes the same message once more, since it may be waiting for just that; the next one inside gets others.
 * Invariant: an entry's message is ended once, in the process that made the inbox.
 */
#include <errno.h>
#include <stdbool.h>

#include "bind/pool_message.h"

#define NS_PER_S 1e9

enum { DEPTH_MAX = 2 };
enum { ARGUMENTS_MAX = 8 /* of ask; these find room on the stack */ };

/* User values of an inbox. */
enum { QUEUE = 1, BLOCKS };

enum { BATCH = 64 /* messages fetched at once */ };
enum { NOBODY = -1 /* no chunk */ };

typedef struct block block;

typedef struct entry {
  struct entry *next;
  block *in;
  mp_shm_incoming got;
  mp_lua_pool_header head;
  lua_Integer generation;
  int depth;
  bool done;
} entry;

struct block {
  _Alignas(16) char buffer[MP_INLINE_MAX];
  uint32_t live; /* entries that are not free */
  entry entries[BATCH];
};

typedef struct inbox {
  const char *class; /* what it is known by, as boxes are */
  mp_lua_box *queue;
  mp_shm_proc_ref maker;
  bool orphans;   /* it takes what dead lessees had */
  unsigned flags; /* what its messages' values may hold */
  entry *first;
  block *spare;
  lua_Integer generation; /* of the last entry */
} inbox;

static const char class;

static inbox *check(lua_State *L, int idx) {
  inbox *b = lua_touserdata(L, idx);
  if (!b || lua_rawlen(L, idx) != sizeof *b || b->class != &class) luaL_checkudata(L, idx, MP_INBOX_TYPE);
  return b;
}

/* --- entries --- */

/* All blocks that there are, the spare one included, are values of a table. */
static block *new_block(lua_State *L, int idx) {
  luaL_checkstack(L, 3, NULL);
  lua_getiuservalue(L, idx, BLOCKS);
  block *k = lua_newuserdatauv(L, sizeof *k, 0);
  lua_rawsetp(L, -2, k);
  lua_pop(L, 1);
  return k;
}

/* The block is empty: one is kept. */
static void drop_block(lua_State *L, int idx, inbox *b, block *k) {
  if (!b->spare) {
    b->spare = k;
    return;
  }
  lua_getiuservalue(L, idx, BLOCKS);
  lua_pushnil(L);
  lua_rawsetp(L, -2, k);
  lua_pop(L, 1);
}

/* What was fetched into the block, got and got.more others, goes to the end of the list. */
static void add(inbox *b, block *k, mp_shm_incoming got) {
  entry **at = &b->first;
  while (*at) at = &(*at)->next;
  for (k->live = 0;; mp_shm_incoming_next(&got)) {
    entry *e = &k->entries[k->live++];
    *e = (entry){NULL, k, got, mp_lua_pool_header_of(&got), ++b->generation, 0, false};
    *at = e;
    at = &e->next;
    if (!got.more) break;
  }
}

static void free_entry(lua_State *L, int idx, inbox *b, entry *e) {
  mp_shm_queue_done(&e->got);
  if (--e->in->live == 0) drop_block(L, idx, b, e->in);
}

/* Takes the entry out of the list. False when it is not there: it was done before. */
static bool end_entry(lua_State *L, int idx, inbox *b, lua_Integer generation) {
  entry **at = &b->first;
  while (*at && (*at)->generation != generation) at = &(*at)->next;
  entry *e = *at;
  if (!e) return false;
  *at = e->next;
  e->done = true;
  if (e->depth == 0) free_entry(L, idx, b, e);
  return true;
}

/* --- receiving --- */

static int get(inbox *b, void *buffer, uint32_t most, mp_shm_incoming *got, const mp_shm_wait *w) {
  static const mp_shm_wait now = {0, NULL, NULL};
  if (!b->orphans) return mp_shm_queue_get_many(b->queue->object, buffer, most, got, w);
  mp_shm_sweep();
  int err = mp_shm_queue_orphan(b->queue->object, got, &now);
  return err == -EAGAIN ? -ETIMEDOUT : err;
}

/* Fetches up to `most` messages: 0 or an error. */
static int fetch(lua_State *L, int idx, inbox *b, uint32_t most, const mp_shm_wait *w) {
  mp_shm_incoming got;
  block *k = b->spare;
  b->spare = NULL;
  if (!k) k = new_block(L, idx);
  int err = get(b, k->buffer, most, &got, w);
  if (err)
    drop_block(L, idx, b, k);
  else
    add(b, k, got);
  return err;
}

/* The oldest message that is not being decoded twice already, or the next one of the queue. 0 or an error. */
static int next_entry(lua_State *L, int idx, inbox *b, const mp_shm_wait *w, entry **out) {
  for (int err = 0;; err = fetch(L, idx, b, 1, w)) {
    if (err) return err;
    entry *e = b->first;
    while (e && e->depth >= DEPTH_MAX) e = e->next;
    *out = e;
    if (e) return 0;
  }
}

/* Pushes generation, the header, bytes (of an orphan: its dead holder's pid), true, values... | false, error. What a single
 * task returned is a table of values, unless its chunk is `unpacked`. False, with nothing pushed, when another has accounted
 * for the message meanwhile. */
static bool push_message(lua_State *L, int idx, inbox *b, entry *e, lua_Integer unpacked) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 12, NULL);
  lua_pushinteger(L, e->generation);
  mp_lua_pool_push_header(L, &e->head);
  lua_pushinteger(L, b->orphans ? mp_shm_orphan_lessee(&e->got) : (lua_Integer)e->got.len);
  e->depth++;
  if (e->head.kind == MP_POOL_RETURNED && !b->orphans && e->head.chunk != unpacked)
    mp_lua_pool_push_packed(L, &e->got, b->flags);
  else
    mp_lua_pool_push_values(L, &e->got, b->flags);
  e->depth--;
  if (!e->done) return true;
  lua_settop(L, top);
  if (e->depth == 0) free_entry(L, idx, b, e);
  return false;
}

/* As receive: 0 with the message of *e pushed, or an error with nothing pushed. */
static int receive(lua_State *L, int idx, inbox *b, lua_Integer unpacked, mp_shm_wait *w, entry **e) {
  int err;
  while ((err = next_entry(L, idx, b, w, e)) == 0 && !push_message(L, idx, b, *e, unpacked)) w->deadline = 0;
  return err;
}

/* receive(inbox[, timeout]) -> generation, chunk, offset, kind, count, who, value, bytes, true, values... | …, false, error;
 * what a single task RETURNED is one value, a table with n
 * | nil when there is none in time, or nobody will put one any more | false of orphans, when that cannot be told now.
 * It is the same message until done() is called. */
static int inbox_receive(lua_State *L) {
  inbox *b = check(L, 1);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  entry *e;
  lua_settop(L, 1);
  int err = receive(L, 1, b, NOBODY, &w, &e);
  if (!err) return lua_gettop(L) - 1;
  if (err == -ETIMEDOUT || err == -EPIPE) return 0;
  if (!b->orphans) return mp_lua_queue_push_no_message(L, err);
  lua_pushboolean(L, 0);
  return 1;
}

/* done(inbox, generation): that message is accounted for. False when it was before. */
static int inbox_done(lua_State *L) {
  inbox *b = check(L, 1);
  lua_pushboolean(L, end_entry(L, 1, b, luaL_checkinteger(L, 2)));
  return 1;
}

int mp_lua_pool_take(lua_State *L, int idx, mp_shm_wait *w, mp_lua_pool_header *head) {
  inbox *b = check(L, idx);
  entry *e;
  int err = receive(L, idx, b, NOBODY, w, &e);
  if (err) return err;
  *head = e->head;
  end_entry(L, idx, b, e->generation);
  return 0;
}

/* pending(inbox): how many messages are fetched and not accounted for. */
static int inbox_pending(lua_State *L) {
  lua_Integer n = 0;
  for (const entry *e = check(L, 1)->first; e; e = e->next) n++;
  lua_pushinteger(L, n);
  return 1;
}

/* --- plain results, many at once --- */

/* The arguments of absorb, a decoded value, and what of a chunk and its job lies behind them. */
enum { BOOK = 2, DECODED, CHUNK_OF, JOB_OF, VALUES_OF, NIL_OF, ARRIVALS_OF };

static lua_Integer integer_field(lua_State *L, int idx, const char *name) {
  lua_getfield(L, idx, name);
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void add_to_field(lua_State *L, int idx, const char *name, lua_Integer n) {
  lua_pushinteger(L, integer_field(L, idx, name) + n);
  lua_setfield(L, idx, name);
}

static bool is_true(lua_State *L, int idx, const char *name) {
  lua_getfield(L, idx, name);
  bool it_is = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return it_is;
}

/* Pushes the chunk, its job, and the job's tables. False when its results are not simply noted one after another. */
static bool push_chunk(lua_State *L, lua_Integer number) {
  lua_settop(L, DECODED);
  lua_getfield(L, BOOK, "chunks");
  lua_rawgeti(L, -1, number);
  lua_remove(L, -2);
  if (!lua_istable(L, CHUNK_OF) || is_true(L, CHUNK_OF, "reported") || is_true(L, BOOK, "noting")) return false;
  lua_getfield(L, CHUNK_OF, "job");
  if (!is_true(L, JOB_OF, "plain") || is_true(L, JOB_OF, "ended")) return false;
  lua_getfield(L, JOB_OF, "values");
  lua_getfield(L, JOB_OF, "nil_value");
  lua_getfield(L, JOB_OF, "arrivals");
  return lua_istable(L, VALUES_OF);
}

/* Pushes the message's value, if that is a scalar, which alone cannot run user code. */
static bool push_scalar(lua_State *L, const entry *e) {
  const size_t head = sizeof e->head;
  return e->got.large < 0 && !e->got.nhandles && e->got.len > head &&
         mp_codec_decode_scalar(L, (const char *)e->got.data + head, e->got.len - head);
}

/* Stores results of the chunk, from the entry on, that follow one another, those of other chunks between them left out: how
 * many. The last item of a chunk, and those that tell times, are not among them. The first has been decoded, or all are
 * scalars. */
static lua_Integer store_values(lua_State *L, const entry *e, bool decoded) {
  const mp_lua_pool_header first = e->head;
  lua_Integer base = integer_field(L, CHUNK_OF, "base"), next = integer_field(L, CHUNK_OF, "next"), n = 0;
  lua_Integer left = integer_field(L, CHUNK_OF, "left"), arrivals = integer_field(L, JOB_OF, "arrivals_to");
  bool lists = lua_istable(L, ARRIVALS_OF);
  for (; e && n < left - 1; e = e->next) {
    const mp_lua_pool_header *h = &e->head;
    if (h->chunk != first.chunk) continue;
    if (h->kind != MP_POOL_DONE || h->value || h->who != first.who || e->depth || h->offset != next + n) break;
    if (decoded)
      lua_pushvalue(L, DECODED);
    else if (!push_scalar(L, e))
      break;
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_pushvalue(L, NIL_OF);
    }
    lua_rawseti(L, VALUES_OF, base + next + n + 1);
    if (lists) {
      lua_pushinteger(L, base + next + n + 1);
      lua_rawseti(L, ARRIVALS_OF, arrivals + n + 1);
    }
    n++;
    decoded = false;
  }
  return n;
}

/* Decodes the entry's message, the oldest one. False when it cannot be decoded, or somebody else has accounted for it. */
static bool decode_first(lua_State *L, inbox *b, entry *e) {
  lua_settop(L, DECODED);
  e->depth++;
  mp_lua_pool_push_values(L, &e->got, b->flags);
  e->depth--;
  if (e->done && e->depth == 0) free_entry(L, 1, b, e);
  if (b->first != e || !lua_toboolean(L, DECODED + 1)) return false;
  lua_settop(L, DECODED + 2);
  lua_replace(L, DECODED);
  return true;
}

/* The same for a value that is no scalar. Decoding it may run user code, so all is looked at again. */
static lua_Integer store_others(lua_State *L, inbox *b, entry *e) {
  const mp_lua_pool_header head = e->head;
  if (head.value || e->depth || head.offset != integer_field(L, CHUNK_OF, "next") ||
      integer_field(L, CHUNK_OF, "left") < 2 || !decode_first(L, b, e) || !push_chunk(L, head.chunk))
    return 0;
  return store_values(L, e, true);
}

/* What was stored is accounted for: sets fields that exist, which cannot fail. */
static void commit(lua_State *L, lua_Integer n) {
  add_to_field(L, CHUNK_OF, "next", n);
  add_to_field(L, CHUNK_OF, "left", -n);
  if (lua_istable(L, ARRIVALS_OF)) add_to_field(L, JOB_OF, "arrivals_to", n);
  add_to_field(L, JOB_OF, "arrived", n);
  add_to_field(L, BOOK, "count", -n);
  add_to_field(L, BOOK, "done", n);
  add_to_field(L, BOOK, "moves", n);
}

/* The first n entries of the chunk are accounted for. */
static void end_entries(lua_State *L, inbox *b, lua_Integer chunk, lua_Integer n) {
  for (entry *e = b->first, *next; n > 0; e = next) {
    next = e->next;
    if (e->head.chunk != chunk) continue;
    end_entry(L, 1, b, e->generation);
    n--;
  }
}

/* absorb(inbox, book) -> how many, slot: takes results that are there already, and that only have to be noted, of one chunk
 * in their order, as receive, inflight.report and done would one by one; 0: there are none, or receive has something else.
 * book: state.inflight, in pool/owner/inflight.lua. */
static int inbox_absorb(lua_State *L) {
  static const mp_shm_wait now = {0, NULL, NULL};
  inbox *b = check(L, 1);
  luaL_checktype(L, BOOK, LUA_TTABLE);
  lua_settop(L, BOOK);
  lua_pushinteger(L, 0);
  if (!b->first && fetch(L, 1, b, BATCH, &now)) return 1;
  entry *e = b->first;
  const mp_lua_pool_header head = e->head;
  lua_Integer n = 0;
  if (head.kind == MP_POOL_DONE && push_chunk(L, head.chunk)) {
    n = store_values(L, e, false);
    if (!n) n = store_others(L, b, e);
    if (n) commit(L, n);
  }
  end_entries(L, b, head.chunk, n);
  lua_pushinteger(L, n);
  lua_pushinteger(L, head.who);
  return 2;
}

/* --- asking --- */

/* The arguments of ask, and where what it returns lies: false, the message from its generation on. */
enum { TASKS = 1, INBOX, CHUNK, FUNCTION, TIMEOUT, ARGUMENTS, SENT, GENERATION };
enum { WHO = GENERATION + 5, VALUE, BYTES, OK };

/* Pushes the list's items: how many, or -1 for what is not simply a list of a few. */
static int push_arguments(lua_State *L, int list) {
  if (lua_isnil(L, list)) return 0;
  if (!lua_istable(L, list) || lua_getmetatable(L, list)) return -1;
  lua_Unsigned n = lua_rawlen(L, list);
  lua_getfield(L, list, "n");
  if (!lua_isnil(L, -1) || n > ARGUMENTS_MAX || (n == 0 && lua_next(L, list))) return -1;
  lua_settop(L, list);
  for (lua_Unsigned i = 1; i <= n; i++) lua_rawgeti(L, list, (lua_Integer)i);
  return (int)n;
}

/* The message on the stack becomes true, slot, nanoseconds, seconds, results... */
static int give_result(lua_State *L, const mp_lua_pool_header *head, lua_Number seconds) {
  lua_pushboolean(L, 1);
  lua_replace(L, WHO);
  lua_pushinteger(L, head->who);
  lua_replace(L, VALUE);
  lua_pushinteger(L, head->value);
  lua_replace(L, BYTES);
  lua_pushnumber(L, seconds);
  lua_replace(L, OK);
  return lua_gettop(L) - WHO + 1;
}

/* ask(tasks, inbox, chunk, function, timeout, args): sends a single task and takes the next result, which it awaits for
 * `timeout` seconds:
 *   true, slot, nanoseconds, seconds since it was sent, results...    when that is what came of it: it is done
 *   false, what receive gives    when it is another, or an error
 *   false      when there is none in time, on Ctrl-C, and when another has accounted for it meanwhile
 *   nothing    when nothing was sent: the inbox is another process's or has a message, args are nothing that is sent so
 *              simply, or cannot be sent at all */
static int inbox_ask(lua_State *L) {
  mp_shm_queue *tasks = mp_lua_queue_self(L);
  inbox *b = check(L, INBOX);
  const mp_lua_pool_header task = {luaL_checkinteger(L, CHUNK), 0, 1, MP_POOL_CALL, 0, luaL_checkinteger(L, FUNCTION)};
  uint64_t patience = (uint64_t)(luaL_checknumber(L, TIMEOUT) * NS_PER_S);
  size_t bytes;
  entry *e;
  lua_settop(L, ARGUMENTS);
  if (mp_shm_inherited(b->maker) || b->first || push_arguments(L, ARGUMENTS) < 0 ||
      mp_lua_pool_post(L, tasks, &task, "args", ARGUMENTS + 1, &bytes))
    return 0;
  uint64_t sent = mp_os_now();
  mp_shm_wait w = mp_lua_wait(L, sent + patience);
  lua_settop(L, ARGUMENTS);
  lua_pushboolean(L, 0);
  if (receive(L, INBOX, b, task.chunk, &w, &e)) return 1;
  const mp_lua_pool_header head = e->head;
  if (head.chunk != task.chunk || head.kind != MP_POOL_RETURNED || !lua_toboolean(L, OK) || !lua_checkstack(L, 1))
    return lua_gettop(L) - SENT + 1;
  end_entry(L, INBOX, b, e->generation);
  return give_result(L, &head, (lua_Number)(mp_os_now() - sent) / NS_PER_S);
}

/* --- making and ending --- */

/* inbox(queue[, "orphans" | "abroad"]); abroad: its messages' values come from other machines */
static int new_inbox(lua_State *L) {
  static const char *const kinds[] = {"messages", "orphans", "abroad", NULL};
  mp_lua_box *queue = mp_lua_queue_box(L);
  int kind = luaL_checkoption(L, 2, "messages", kinds);
  lua_settop(L, 1);
  inbox *b = lua_newuserdatauv(L, sizeof *b, 2);
  *b = (inbox){&class, queue, mp_shm_proc_self(), kind == 1, kind == 2 ? MP_POOL_ABROAD : MP_POOL_HOME, NULL, NULL, 0};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, QUEUE);
  lua_newtable(L);
  lua_setiuservalue(L, -2, BLOCKS);
  luaL_setmetatable(L, MP_INBOX_TYPE);
  return 1;
}

/* What nobody has accounted for is dropped, where it was fetched. At the end of the Lua state the queue may have gone. */
static int inbox_gc(lua_State *L) {
  inbox *b = check(L, 1);
  entry *e = b->first;
  b->first = NULL;
  if (mp_shm_inherited(b->maker) || !mp_shm_usable() || !b->queue->object) return 0;
  for (; e; e = e->next) mp_shm_queue_done(&e->got);
  return 0;
}

void mp_lua_open_pool_inbox(lua_State *L) {
  static const luaL_Reg metamethods[] = {{"__gc", inbox_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"inbox", new_inbox},     {"receive", inbox_receive}, {"done", inbox_done}, {"pending", inbox_pending},
      {"absorb", inbox_absorb}, {"ask", inbox_ask},         {NULL, NULL}};
  luaL_newmetatable(L, MP_INBOX_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
