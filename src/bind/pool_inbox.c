/* SPDX-License-Identifier: MIT */
/*
 * What a pool's owner has fetched and not accounted for yet (layer 3). A message leaves the queue for an entry of the inbox
 * before any user code runs, and stays there until done(): so no result is ever held by local variables alone. What tears
 * the owner's code, or uses the pool while a message is decoded, finds it here and accounts for it instead.
 * Called by lua/mproc/pool/.
 *
 * An entry is in the list `first` from the time it is fetched until it is done, oldest first. While it is decoded its
 * `depth` counts by how many: one that is done meanwhile is freed by the last of these. A decode hook or a finalizer that
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
enum { QUEUE = 1, ENTRIES };

typedef struct entry {
  struct entry *next;
  mp_shm_incoming got;
  mp_lua_pool_header head;
  lua_Integer generation;
  int depth;
  bool done;
  _Alignas(16) char buffer[MP_INLINE_MAX];
} entry;

typedef struct inbox {
  const char *class; /* what it is known by, as boxes are */
  mp_lua_box *queue;
  mp_shm_proc_ref maker;
  bool orphans; /* it takes what dead lessees had */
  entry *first, *spare;
  lua_Integer generation; /* of the last entry */
} inbox;

static const char class;

static inbox *check(lua_State *L, int idx) {
  inbox *b = lua_touserdata(L, idx);
  if (!b || lua_rawlen(L, idx) != sizeof *b || b->class != &class) luaL_checkudata(L, idx, MP_INBOX_TYPE);
  return b;
}

/* --- entries --- */

/* All entries that there are, the spare one included, are keys of a table. */
static entry *new_entry(lua_State *L, int idx) {
  luaL_checkstack(L, 3, NULL);
  lua_getiuservalue(L, idx, ENTRIES);
  entry *e = lua_newuserdatauv(L, sizeof *e, 0);
  lua_rawsetp(L, -2, e);
  lua_pop(L, 1);
  return e;
}

static void forget_entry(lua_State *L, int idx, entry *e) {
  lua_getiuservalue(L, idx, ENTRIES);
  lua_pushnil(L);
  lua_rawsetp(L, -2, e);
  lua_pop(L, 1);
}

static void add(inbox *b, entry *e) {
  entry **at = &b->first;
  while (*at) at = &(*at)->next;
  e->next = NULL;
  e->depth = 0;
  e->done = false;
  e->head = mp_lua_pool_header_of(&e->got);
  e->generation = ++b->generation;
  *at = e;
}

static void free_entry(lua_State *L, int idx, inbox *b, entry *e) {
  mp_shm_queue_done(&e->got);
  if (b->spare)
    forget_entry(L, idx, e);
  else
    b->spare = e;
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

static int fetch(inbox *b, entry *e, const mp_shm_wait *w) {
  static const mp_shm_wait now = {0, NULL, NULL};
  if (!b->orphans) return mp_shm_queue_get(b->queue->object, e->buffer, &e->got, w);
  mp_shm_sweep();
  int err = mp_shm_queue_orphan(b->queue->object, &e->got, &now);
  return err == -EAGAIN ? -ETIMEDOUT : err;
}

/* The oldest message that is not being decoded twice already, or the next one of the queue. 0 or an error. */
static int next_entry(lua_State *L, int idx, inbox *b, const mp_shm_wait *w, entry **out) {
  entry *e = b->first;
  while (e && e->depth >= DEPTH_MAX) e = e->next;
  if (!e) {
    e = b->spare;
    b->spare = NULL;
    if (!e) e = new_entry(L, idx);
    int err = fetch(b, e, w);
    if (err) {
      if (b->spare)
        forget_entry(L, idx, e);
      else
        b->spare = e;
      return err;
    }
    add(b, e);
  }
  *out = e;
  return 0;
}

/* Pushes generation, the header, bytes (of an orphan: its dead holder's pid), true, values... | false, error. False, with
 * nothing pushed, when another has accounted for the message meanwhile. */
static bool push_message(lua_State *L, int idx, inbox *b, entry *e) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 12, NULL);
  lua_pushinteger(L, e->generation);
  mp_lua_pool_push_header(L, &e->head);
  lua_pushinteger(L, b->orphans ? mp_shm_orphan_lessee(&e->got) : (lua_Integer)e->got.len);
  e->depth++;
  mp_lua_pool_push_values(L, &e->got);
  e->depth--;
  if (!e->done) return true;
  lua_settop(L, top);
  if (e->depth == 0) free_entry(L, idx, b, e);
  return false;
}

/* As receive: 0 with the message of *e pushed, or an error with nothing pushed. */
static int receive(lua_State *L, int idx, inbox *b, mp_shm_wait *w, entry **e) {
  int err;
  while ((err = next_entry(L, idx, b, w, e)) == 0 && !push_message(L, idx, b, *e)) w->deadline = 0;
  return err;
}

/* receive(inbox[, timeout]) -> generation, chunk, offset, kind, count, who, value, bytes, true, values... | …, false, error
 * | nil when there is none in time, or nobody will put one any more | false of orphans, when that cannot be told now.
 * It is the same message until done() is called. */
static int inbox_receive(lua_State *L) {
  inbox *b = check(L, 1);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  entry *e;
  lua_settop(L, 1);
  int err = receive(L, 1, b, &w, &e);
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

/* pending(inbox): how many messages are fetched and not accounted for. */
static int inbox_pending(lua_State *L) {
  lua_Integer n = 0;
  for (const entry *e = check(L, 1)->first; e; e = e->next) n++;
  lua_pushinteger(L, n);
  return 1;
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
  if (b->maker != mp_shm_proc_self() || b->first || push_arguments(L, ARGUMENTS) < 0 ||
      mp_lua_pool_post(L, tasks, &task, "args", ARGUMENTS + 1, &bytes))
    return 0;
  uint64_t sent = mp_os_now();
  mp_shm_wait w = mp_lua_wait(L, sent + patience);
  lua_settop(L, ARGUMENTS);
  lua_pushboolean(L, 0);
  if (receive(L, INBOX, b, &w, &e)) return 1;
  const mp_lua_pool_header head = e->head;
  if (head.chunk != task.chunk || head.kind != MP_POOL_DONE || !lua_toboolean(L, OK) || !lua_checkstack(L, 1))
    return lua_gettop(L) - SENT + 1;
  end_entry(L, INBOX, b, e->generation);
  return give_result(L, &head, (lua_Number)(mp_os_now() - sent) / NS_PER_S);
}

/* --- making and ending --- */

/* inbox(queue[, "orphans"]) */
static int new_inbox(lua_State *L) {
  static const char *const kinds[] = {"messages", "orphans", NULL};
  mp_lua_box *queue = mp_lua_queue_box(L);
  bool orphans = luaL_checkoption(L, 2, "messages", kinds) == 1;
  lua_settop(L, 1);
  inbox *b = lua_newuserdatauv(L, sizeof *b, 2);
  *b = (inbox){&class, queue, mp_shm_proc_self(), orphans, NULL, NULL, 0};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, QUEUE);
  lua_newtable(L);
  lua_setiuservalue(L, -2, ENTRIES);
  luaL_setmetatable(L, MP_INBOX_TYPE);
  return 1;
}

/* What nobody has accounted for is dropped, where it was fetched. At the end of the Lua state the queue may have gone. */
static int inbox_gc(lua_State *L) {
  inbox *b = check(L, 1);
  entry *e = b->first;
  b->first = NULL;
  if (b->maker != mp_shm_proc_self() || !mp_shm_usable() || !b->queue->object) return 0;
  for (; e; e = e->next) mp_shm_queue_done(&e->got);
  return 0;
}

void mp_lua_open_pool_inbox(lua_State *L) {
  static const luaL_Reg metamethods[] = {{"__gc", inbox_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"inbox", new_inbox},       {"receive", inbox_receive}, {"done", inbox_done},
                                       {"pending", inbox_pending}, {"ask", inbox_ask},         {NULL, NULL}};
  luaL_newmetatable(L, MP_INBOX_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
