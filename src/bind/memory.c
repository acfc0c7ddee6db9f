/* SPDX-License-Identifier: MIT */
/* SharedMemory for Lua. The invariant stands in memory.h, what a name is in os/named.h. */
#include "bind/memory.h"

#include <string.h>

#include "bind/check.h"
#include "bind/memory_view.h"
#include "codec/codec.h"
#include "os/named.h"
#include "shm/number/memory.h"

#define CLOSED "the shared memory has been closed"

enum { SHORT = 256 /* bytes: at least what Lua calls a short string */ };

typedef struct named { /* a mapped file */
  const void *mark;
  mp_os_named m; /* m.p NULL: it is closed */
  char name[MP_NAME_MOST + 1];
} named;

static const char named_mark;

static const char *name_of(const void *block) {
  (void)block;
  return MP_MEMORY_TYPE;
}
static const mp_lua_object_class memory_class = {MP_TYPE_MEMORY, 0, name_of, NULL, NULL};

static named *test_named(lua_State *L, int idx) {
  named *m = lua_touserdata(L, idx);
  return m && lua_rawlen(L, idx) == sizeof *m && m->mark == &named_mark ? m : NULL;
}

bool mp_lua_memory_is(lua_State *L, int idx) { return test_named(L, idx) || mp_lua_box_test(L, idx, &memory_class); }

mp_lua_bytes mp_lua_memory_bytes(const void *userdata) {
  const named *m = userdata;
  if (m->mark == &named_mark) return (mp_lua_bytes){m->m.p, m->m.size};
  mp_shm_memory *block = ((const mp_lua_box *)userdata)->object;
  return block ? (mp_lua_bytes){(char *)block->data, block->n} : (mp_lua_bytes){NULL, 0};
}

static void check_is(lua_State *L) {
  if (!mp_lua_memory_is(L, 1)) mp_lua_box_refuse(L, 1, "shared memory");
  if (!mp_shm_usable()) mp_lua_enter(L);
}

static mp_lua_bytes check(lua_State *L) {
  check_is(L);
  mp_lua_bytes b = mp_lua_memory_bytes(lua_touserdata(L, 1));
  if (!b.p) mp_lua_misuse(L, CLOSED);
  return b;
}

/* --- bytes --- */

/* read([i[, j]]) -> string. Lua hashes a short string and copies it then: what others may change meanwhile must be
 * copied before. */
static int memory_read(lua_State *L) {
  char copy[SHORT];
  mp_lua_bytes b = check(L);
  mp_lua_range r = mp_lua_section(L, b.n, 2);
  const char *from = b.p + r.from;
  mp_os_bulk_begin();
  if (r.count <= sizeof copy) from = memcpy(copy, from, r.count);
  lua_pushlstring(L, from, (size_t)r.count);
  mp_os_bulk_end();
  return 1;
}

/* write(i, s) */
static int memory_write(lua_State *L) {
  size_t n;
  mp_lua_bytes b = check(L);
  lua_Integer i = mp_lua_integer(L, 2, "i", 0);
  if (lua_type(L, 3) != LUA_TSTRING) return mp_lua_refuse(L, "s must be a string of bytes, got %s", mp_lua_show(L, 3));
  const char *s = lua_tolstring(L, 3, &n);
  if (i < 1 || (uint64_t)i - 1 > b.n || n > b.n - ((uint64_t)i - 1))
    return mp_lua_refuse(L, "i: %I bytes from %s on do not fit into %I", (lua_Integer)n, mp_lua_show(L, 2),
                         (lua_Integer)b.n);
  mp_os_bulk_begin();
  memcpy(b.p + (i - 1), s, n);
  mp_os_bulk_end();
  return 0;
}

/* view(type[, first[, count]]) -> numbers that lie in it */
static int memory_view(lua_State *L) {
  check(L);
  return mp_lua_memory_view_make(L);
}

/* --- what it is --- */

static int memory_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check(L).n);
  return 1;
}

/* Upvalue: the methods. */
static int memory_index(lua_State *L) {
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "size") == 0) return memory_len(L);
  if (strcmp(key, "name") == 0) {
    check_is(L);
    const named *m = test_named(L, 1);
    lua_pushstring(L, m ? m->name : NULL);
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static int memory_tostring(lua_State *L) {
  check_is(L);
  const named *m = test_named(L, 1);
  mp_lua_bytes b = mp_lua_memory_bytes(lua_touserdata(L, 1));
  if (!b.p)
    lua_pushliteral(L, "SharedMemory: closed");
  else if (m)
    lua_pushfstring(L, "SharedMemory '%s': %I bytes", m->name, (lua_Integer)b.n);
  else
    lua_pushfstring(L, "SharedMemory %d: %I bytes",
                    (int)(((const mp_lua_box *)lua_touserdata(L, 1))->handle & MP_SLOT_MASK), (lua_Integer)b.n);
  return 1;
}

static int named_eq(lua_State *L) {
  const named *a = test_named(L, 1), *b = test_named(L, 2);
  lua_pushboolean(L, a && b && a->m.inode == b->m.inode && a->m.device == b->m.device);
  return 1;
}

/* --- ends --- */

static void detach(named *m) {
  if (!m->m.p) return;
  mp_os_named_disown(m->name, &m->m);
  mp_os_named_detach(&m->m);
  m->m.p = NULL;
}

/* close(): here; others keep theirs. */
static int memory_close(lua_State *L) {
  check_is(L);
  named *m = test_named(L, 1);
  if (m)
    detach(m);
  else
    mp_lua_box_empty(lua_touserdata(L, 1));
  return 0;
}

/* The end of a scope that a fork inherited ends nothing. */
static int memory_scope_close(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &memory_class);
  if (!test_named(L, 1) && !(b && mp_lua_box_is_makers(b))) return 0;
  return memory_close(L);
}

static int named_gc(lua_State *L) {
  named *m = test_named(L, 1);
  if (m) detach(m);
  return 0;
}

/* unlink() -> true | nil, message, NAME. Works on a closed one too. */
static int memory_unlink(lua_State *L) {
  check_is(L);
  const named *m = test_named(L, 1);
  if (!m) return mp_lua_misuse(L, "this shared memory has no name; it goes with its last holder");
  int err = mp_os_named_unlink(m->name, &m->m);
  if (err) return mp_lua_fail(L, err, lua_pushfstring(L, "cannot unlink shared memory '%s'", m->name));
  lua_pushboolean(L, 1);
  return 1;
}

/* --- making --- */

/* shared_memory(size) -> m | nil, message, NAME */
static int new_nameless(lua_State *L) {
  mp_shm_handle h;
  uint64_t size = (uint64_t)luaL_checkinteger(L, 1);
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &memory_class, MP_MEMORY_TYPE);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_memory_new(size, &w, &h);
  if (err) return mp_lua_push_failure(L, err, "shared memory");
  mp_lua_box_fill(b, h);
  mp_lua_box_remember(L, -1);
  return 1;
}

/* Pushes one that is closed. */
static named *push_named(lua_State *L, const char *name) {
  named *m = lua_newuserdatauv(L, sizeof *m, 0);
  *m = (named){.mark = &named_mark};
  memcpy(m->name, name, strlen(name));
  luaL_setmetatable(L, MP_NAMED_MEMORY_TYPE);
  return m;
}

/* The name at arg: 0, -EINVAL, -ENAMETOOLONG. */
static int read_name(lua_State *L, int arg, const char **name) {
  size_t n;
  *name = luaL_checklstring(L, arg, &n);
  if (n > MP_NAME_MOST) return -ENAMETOOLONG;
  bool folder = strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0;
  return n == 0 || strlen(*name) != n || strchr(*name, '/') || folder ? -EINVAL : 0;
}

static int refuse_name(lua_State *L, int err) {
  const char *got = mp_lua_show(L, 1);
  lua_pushnil(L);
  lua_pushfstring(L, "a name of shared memory has 1 to %d bytes, and no slash among them, got %s", MP_NAME_MOST, got);
  lua_pushstring(L, err == -EINVAL ? "EINVAL" : "ENAMETOOLONG");
  return 3;
}

static int fail(lua_State *L, int err, const char *doing, const char *name) {
  if (err == -EINTR) return mp_lua_interrupted(L);
  const char *what = lua_pushfstring(L, "cannot %s shared memory '%s'", doing, name);
  int n = mp_lua_fail(L, err, what);
  if (err != -ENODATA) return n;
  lua_pop(L, 2);
  lua_pushfstring(L, "%s: it is empty, its maker has not given it a size yet", what);
  lua_pushliteral(L, "EINVAL");
  return 3;
}

/* shared_memory_create(name, size, sparse, unlink) -> m | nil, message, NAME */
static int create_named(lua_State *L) {
  const char *name;
  int err = read_name(L, 1, &name);
  if (err) return refuse_name(L, err);
  mp_lua_enter(L);
  named *m = push_named(L, name);
  const mp_os_named_wish wish = {name, (uint64_t)luaL_checkinteger(L, 2), lua_toboolean(L, 3), mp_lua_wants_interrupt,
                                 L};
  err = mp_os_named_create(&wish, &m->m);
  if (err) return fail(L, err, "create", name);
  if (lua_toboolean(L, 4) && mp_os_named_own(name, &m->m) != 0) {
    mp_os_named_unlink(name, &m->m);
    return luaL_error(L, "not enough memory");
  }
  return 1;
}

static int attach_named(lua_State *L, named *m, uint64_t least) {
  int err = mp_os_named_attach(m->name, &m->m);
  if (err) return fail(L, err, "attach to", m->name);
  if (m->m.size >= least) return 1;
  lua_pushnil(L);
  lua_pushfstring(L, "shared memory '%s' has %I bytes, fewer than the %I that are asked for", m->name,
                  (lua_Integer)m->m.size, (lua_Integer)least);
  detach(m);
  lua_pushliteral(L, "EINVAL");
  return 3;
}

/* shared_memory_attach(name, least) -> m | nil, message, NAME */
static int attach(lua_State *L) {
  const char *name;
  int err = read_name(L, 1, &name);
  if (err) return refuse_name(L, err);
  mp_lua_enter(L);
  return attach_named(L, push_named(L, name), (uint64_t)luaL_optinteger(L, 2, 0));
}

/* --- travelling --- */

/* What the error says, with the path, of one that nobody else could find. */
static int named_handle(lua_State *L, int idx, uint64_t *handle) {
  const named *m = test_named(L, idx);
  (void)handle;
  if (!m) return 0;
  if (m->m.p && mp_os_named_look(m->name, &m->m) == 0) return 0;
  lua_pushstring(L, m->m.p ? "the shared memory has been unlinked, so that no other process can find it" : CLOSED);
  return -1;
}

/* It travels as its name and what tells it from another of that name: { name, device, inode }. */
static int named_encode(lua_State *L) {
  const named *m = test_named(L, 1);
  if (!m) return mp_lua_misuse(L, "shared memory expected");
  lua_createtable(L, 3, 0);
  lua_pushstring(L, m->name);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, (lua_Integer)m->m.device);
  lua_rawseti(L, -2, 2);
  lua_pushinteger(L, (lua_Integer)m->m.inode);
  lua_rawseti(L, -2, 3);
  return 1;
}

/* named_decode({ name, device, inode }) -> m; raises when there is no such memory (any more) */
static int named_decode(lua_State *L) {
  const char *name;
  luaL_checktype(L, 1, LUA_TTABLE);
  for (int i = 1; i <= 3; i++) lua_rawgeti(L, 1, i);
  lua_remove(L, 1);
  luaL_argcheck(L, read_name(L, 1, &name) == 0, 1, "no name of shared memory");
  uint64_t device = (uint64_t)luaL_checkinteger(L, 2), inode = (uint64_t)luaL_checkinteger(L, 3);
  named *m = push_named(L, name);
  int err = mp_os_named_attach(name, &m->m);
  if (err || m->m.device != device || m->m.inode != inode)
    return luaL_error(L, "the shared memory '%s' was unlinked on the way", name);
  return 1;
}

/* --- the class --- */

static const luaL_Reg methods[] = {{"read", memory_read},     {"write", memory_write}, {"view", memory_view},
                                   {"unlink", memory_unlink}, {"close", memory_close}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {
    {"__len", memory_len}, {"__tostring", memory_tostring}, {"__close", memory_scope_close}, {NULL, NULL}};

/* To the metatable at the top. */
static void set_interface(lua_State *L) {
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_pushcclosure(L, memory_index, 1);
  lua_setfield(L, -2, "__index");
}

static void open_named(lua_State *L) {
  static const luaL_Reg own[] = {
      {"__gc", named_gc}, {"__eq", named_eq}, {"__mproc_encode", named_encode}, {NULL, NULL}};
  if (luaL_newmetatable(L, MP_NAMED_MEMORY_TYPE)) {
    set_interface(L);
    luaL_setfuncs(L, own, 0);
    lua_pushliteral(L, MP_MEMORY_TYPE);
    lua_setfield(L, -2, "__name");
    lua_pushcfunction(L, named_decode);
    mp_codec_register(L, MP_NAMED_MEMORY_TYPE, -2, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

void mp_lua_open_memory(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg functions[] = {{"shared_memory", new_nameless},
                                       {"shared_memory_create", create_named},
                                       {"shared_memory_attach", attach},
                                       {NULL, NULL}};
  mp_lua_box_class(L, MP_MEMORY_TYPE, &memory_class, none, NULL);
  mp_lua_box_can_close(&memory_class, CLOSED);
  luaL_getmetatable(L, MP_MEMORY_TYPE);
  set_interface(L);
  lua_pop(L, 1);
  open_named(L);
  mp_lua_box_travels(named_handle);
  luaL_setfuncs(L, functions, 0);
}
