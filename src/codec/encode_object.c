/* SPDX-License-Identifier: MIT */
/*
 * Encoding of what is more than its contents: functions, userdata, modules,
 * tables with a metatable. Protected passes only: may raise.
 */
#include <ctype.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>

#include "encoder.h"
#include "names.h"

static mp_codec_objects objects;

void mp_codec_set_objects(const mp_codec_objects *o) { objects = *o; }

int mp_codec_push_object(lua_State *L, uint64_t handle) { return objects.push ? objects.push(L, handle) : 0; }

void mp_codec_anchor(mp_codec_encoder *e, int idx) {
  lua_pushvalue(e->L, idx);
  lua_rawseti(e->L, e->anchor, ++e->anchored);
}

/* Writes the name that mp_codec_names_of pushed, and pops it. */
static int put_name(mp_codec_encoder *e, enum mp_codec_name name) {
  static const enum mp_codec_tag tags[] = {
      [MP_NAME_MODULE] = MP_MODULE,
      [MP_NAME_FIELD] = MP_FIELD,
      [MP_NAME_REGISTERED] = MP_REGISTERED,
  };
  int strings = name == MP_NAME_FIELD ? 2 : 1;
  int top = lua_gettop(e->L);
  int status = mp_codec_put_byte(e, tags[name]);
  for (int i = 1; i <= strings && !status; i++) status = mp_codec_put_value(e, top - strings + i);
  if (!status) lua_settop(e->L, top - strings);
  return status;
}

/* Asks for a pass that knows all names before it is refused. */
static int refuse_unnamed(mp_codec_encoder *e, const char *reason) {
  if (!(e->mode & MP_MODE_REBUILT)) return mp_codec_retry(e, MP_MODE_REBUILT);
  return mp_codec_refuse(e, reason);
}

/* Is the table at the top an environment that only looks elsewhere: empty, with
 * a metatable that has no name? busted gives each spec one. */
static int is_proxy(lua_State *L) {
  int top = lua_gettop(L);
  int proxy = lua_istable(L, top) && lua_getmetatable(L, top) && mp_codec_names_of_meta(L, top + 1) == MP_NAME_NONE;
  lua_settop(L, top);
  lua_pushnil(L);
  if (proxy && lua_next(L, top)) proxy = 0;
  lua_settop(L, top);
  return proxy;
}

static int put_upvalue(mp_codec_encoder *e, mp_codec_frame *f, int idx, int i) {
  lua_State *L = e->L;
  const void *id = lua_upvalueid(L, idx, i);
  int found;
  mp_codec_seen_entry *entry = mp_codec_seen_put(&e->seen, (uint64_t)(uintptr_t)id, MP_KIND_UPVALUE, &found);
  if (!entry) return MP_ENC_NOMEM;
  if (found) return mp_codec_put_ref(e, entry, MP_UPVALUE_REF);
  mp_codec_entry_here(e, entry);
  if (mp_codec_put_byte(e, MP_UPVALUE)) return MP_ENC_NOMEM;
  f->i = i;
  const char *name = lua_getupvalue(L, idx, i);
  int status = strcmp(name, "_ENV") == 0 && is_proxy(L) ? mp_codec_put_byte(e, MP_GLOBALS)
                                                        : mp_codec_put_value(e, lua_gettop(L));
  if (!status) lua_pop(L, 1);
  return status;
}

static int put_upvalues(mp_codec_encoder *e, int idx) {
  lua_State *L = e->L;
  lua_Debug ar;
  lua_pushvalue(L, idx);
  lua_getinfo(L, ">u", &ar);
  mp_codec_frame f = {e->frame, MP_FRAME_UPVALUE, idx, 0};
  e->frame = &f;
  int status = mp_codec_put_number(e, ar.nups);
  for (int i = 1; i <= ar.nups && !status; i++) status = put_upvalue(e, &f, idx, i);
  e->frame = f.up;
  return status;
}

static int write_dump(lua_State *L, const void *p, size_t n, void *ud) {
  (void)L;
  mp_codec_encoder *e = ud;
  unsigned char *to = mp_codec_room(e, n);
  if (!to) return 1;
  memcpy(to, p, n);
  e->len += n;
  return 0;
}

static int put_code(mp_codec_encoder *e, int idx) {
  if (mp_codec_put_byte(e, MP_FUNCTION) || !mp_codec_room(e, MP_COUNT_BYTES)) return MP_ENC_NOMEM;
  size_t count = e->len;
  e->len += MP_COUNT_BYTES;
  lua_pushvalue(e->L, idx);
  int failed = lua_dump(e->L, write_dump, e, 0);
  lua_pop(e->L, 1);
  if (failed) return MP_ENC_NOMEM;
  mp_codec_store64(e->buf + count, e->len - count - MP_COUNT_BYTES);
  return MP_ENC_OK;
}

int mp_codec_put_function(mp_codec_encoder *e, int idx) {
  e->used |= MP_MODE_PROTECTED;
  if (!(e->mode & MP_MODE_PROTECTED)) return mp_codec_retry(e, MP_MODE_PROTECTED);
  if (e->abroad) return mp_codec_refuse(e, "a function does not travel to another machine; send its name");
  e->code = true;
  mp_codec_seen_entry *entry;
  const void *ptr = lua_topointer(e->L, idx);
  int there = mp_codec_put_reference(e, idx, ptr, &entry);
  if (there) return there > 0 ? MP_ENC_OK : -there;
  mp_codec_entry_here(e, entry);
  enum mp_codec_name name = mp_codec_names_of(e->L, idx);
  if (name) return put_name(e, name);
  if (lua_iscfunction(e->L, idx))
    return refuse_unnamed(e, "a C function travels by name, and no loaded module has it in "
                             "a field; put it into one");
  int status = put_code(e, idx);
  return status ? status : put_upvalues(e, idx);
}

/* Writes the designator of the metatable at idx. *known: it has one. */
static int put_designator(mp_codec_encoder *e, int idx, int *known) {
  int found;
  const void *ptr = lua_topointer(e->L, idx);
  mp_codec_seen_entry *entry = mp_codec_seen_put(&e->seen, (uint64_t)(uintptr_t)ptr, MP_KIND_METATABLE, &found);
  if (!entry) return MP_ENC_NOMEM;
  *known = !found || entry->offset != MP_SEEN_UNFINISHED;
  if (found) return *known ? mp_codec_put_ref(e, entry, MP_META_REF) : MP_ENC_OK;
  mp_codec_entry_here(e, entry);
  enum mp_codec_name name = mp_codec_names_of_meta(e->L, idx);
  *known = name != MP_NAME_NONE;
  if (*known) return put_name(e, name);
  entry->offset = MP_SEEN_UNFINISHED;
  return MP_ENC_OK;
}

/* Calls the hook that lies above its object, at the top; its result replaces
 * both. Nil and a text: it refuses, and says why. */
static int call_hook(mp_codec_encoder *e) {
  lua_State *L = e->L;
  int failed = lua_pcall(L, 1, 2, 0);
  if (!failed && lua_isnil(L, -2) && lua_type(L, -1) == LUA_TSTRING) return mp_codec_refuse_top(e);
  if (!failed) lua_pop(L, 1);
  if (!failed || !e->parts || failed == LUA_ERRMEM) return failed ? MP_ENC_RAISED : MP_ENC_OK;
  luaL_tolstring(L, -1, NULL);
  lua_pushfstring(L, "its __mproc_encode raised: %s", lua_tostring(L, -1));
  return mp_codec_refuse_top(e);
}

/* Encodes what the hook at the top gives for the object at idx. */
static int put_hook_result(mp_codec_encoder *e, int idx) {
  lua_State *L = e->L;
  mp_codec_frame f = {e->frame, MP_FRAME_HOOK, 0, 0};
  lua_pushvalue(L, idx);
  int status = call_hook(e);
  if (status) return status;
  mp_codec_anchor(e, lua_gettop(L));
  e->frame = &f;
  status = mp_codec_put_value(e, lua_gettop(L));
  e->frame = f.up;
  if (!status) lua_pop(L, 1);
  return status;
}

/* Whether another machine would refuse an object with the metatable at mt, which has a name: making it runs code. */
static bool needs_code(lua_State *L, int mt) {
  int top = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_GC);
  bool needs = lua_rawget(L, mt) != LUA_TNIL || mp_codec_names_push_decode_hook(L, mt);
  lua_settop(L, top);
  return needs;
}

static int refuse_code(mp_codec_encoder *e) {
  return mp_codec_refuse(e,
                         "it has a decode hook or a finalizer, which does not run for what comes from another machine; "
                         "send plain values");
}

/* The object at idx, with its metatable at mt and the hook at the top. */
static int put_hooked(mp_codec_encoder *e, int idx, int mt, mp_codec_seen_entry *entry) {
  e->used |= MP_MODE_ANCHORED;
  if (!(e->mode & MP_MODE_ANCHORED)) return mp_codec_retry(e, MP_MODE_ANCHORED);
  uint64_t offset = e->len + e->gathered;
  size_t at = e->len;
  entry->offset = MP_SEEN_UNFINISHED;
  int known;
  int status = mp_codec_put_byte(e, MP_HOOKED);
  if (!status) status = put_designator(e, mt, &known);
  if (status) return status;
  if (known && e->abroad && needs_code(e->L, mt)) return refuse_code(e);
  if (!known) e->buf[at] = MP_PLAIN;
  e->code |= known != 0;
  status = put_hook_result(e, idx);
  if (status) return status;
  int found;
  uint64_t key = (uint64_t)(uintptr_t)lua_topointer(e->L, idx);
  entry = mp_codec_seen_put(&e->seen, key, MP_KIND_VALUE, &found);
  if (!entry) return MP_ENC_NOMEM;
  entry->offset = offset;
  entry->at = at;
  return MP_ENC_OK;
}

static bool has_finalizer(lua_State *L, int mt) {
  mp_codec_names_push(L, MP_SLOT_GC);
  bool has = lua_rawget(L, mt) != LUA_TNIL;
  lua_pop(L, 1);
  return has;
}

/* Pushes the hook of the metatable at mt; 0: it has none, nil is pushed. */
static int push_hook(lua_State *L, int mt) {
  mp_codec_names_push(L, MP_SLOT_HOOK);
  return lua_rawget(L, mt) != LUA_TNIL;
}

static int put_with_metatable(mp_codec_encoder *e, int idx, mp_codec_seen_entry *entry) {
  lua_State *L = e->L;
  lua_getmetatable(L, idx);
  int mt = lua_gettop(L);
  int known;
  int status;
  if (push_hook(L, mt)) {
    status = put_hooked(e, idx, mt, entry);
  } else {
    e->code |= has_finalizer(L, mt);
    status = mp_codec_put_byte(e, MP_META);
    if (!status) status = put_designator(e, mt, &known);
    if (!status && !known)
      status = refuse_unnamed(e, "its metatable has no name here; give it one with "
                                 "mproc.register(name, metatable)");
    if (!status && e->abroad && needs_code(L, mt)) status = refuse_code(e);
    if (!status) status = mp_codec_put_table_body(e, idx, lua_topointer(L, idx));
  }
  if (!status) lua_settop(L, mt - 1);
  return status;
}

static int is_globals(lua_State *L, int idx) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  int same = lua_rawequal(L, -1, idx);
  lua_pop(L, 1);
  return same;
}

int mp_codec_put_special_table(mp_codec_encoder *e, int idx, mp_codec_seen_entry *entry) {
  lua_State *L = e->L;
  e->used |= MP_MODE_PROTECTED;
  if (is_globals(L, idx)) return mp_codec_put_byte(e, MP_GLOBALS);
  int top = lua_gettop(L);
  enum mp_codec_name name = mp_codec_names_of_meta(L, idx);
  if (name == MP_NAME_MODULE || name == MP_NAME_REGISTERED) return put_name(e, name);
  lua_settop(L, top);
  if (!lua_getmetatable(L, idx)) return mp_codec_put_table_body(e, idx, lua_topointer(L, idx));
  lua_pop(L, 1);
  return put_with_metatable(e, idx, entry);
}

static int add_handle(mp_codec_encoder *e, uint64_t handle) {
  int found;
  if (!mp_codec_seen_put(&e->seen, handle, MP_KIND_HANDLE, &found)) return MP_ENC_NOMEM;
  if (found) return MP_ENC_OK;
  if (e->nhandles == e->handles_cap) {
    size_t cap = e->handles_cap ? 2 * e->handles_cap : 8;
    uint64_t *more = realloc(e->handles, cap * sizeof *more);
    if (!more) return MP_ENC_NOMEM;
    e->handles = more;
    e->handles_cap = cap;
  }
  e->handles[e->nhandles++] = handle;
  return MP_ENC_OK;
}

static int put_object(mp_codec_encoder *e, uint64_t handle) {
  unsigned char *p = mp_codec_room(e, 1 + sizeof handle);
  if (!p) return MP_ENC_NOMEM;
  *p = MP_OBJECT;
  mp_codec_store64(p + 1, handle);
  e->len += 1 + sizeof handle;
  return add_handle(e, handle);
}

/* Whether its class has one of the methods that give a descriptor. Runs no Lua code. */
static bool has_descriptor(lua_State *L, int idx) {
  static const char *const methods[] = {"getfd", "fileno", "pollfd"};
  int top = lua_gettop(L);
  bool has = false;
  if (luaL_getmetafield(L, idx, "__index") == LUA_TTABLE)
    for (size_t i = 0; i < sizeof methods / sizeof *methods && !has; i++) {
      lua_pushstring(L, methods[i]);
      has = lua_rawget(L, top + 1) == LUA_TFUNCTION;
    }
  lua_settop(L, top);
  return has;
}

static int refuse_userdata(mp_codec_encoder *e, int idx) {
  lua_State *L = e->L;
  if (luaL_testudata(L, idx, LUA_FILEHANDLE))
    return mp_codec_refuse(e, "a file belongs to one process; send its name, or mproc.fd(file)");
  luaL_checkstack(L, 8, NULL);
  const char *remedy = has_descriptor(L, idx) ? "mproc.fd(x)" : "what it is made from";
  const char *name = luaL_getmetafield(L, idx, "__name") == LUA_TSTRING ? lua_tostring(L, -1) : "foreign userdata";
  lua_pushfstring(L, "%s belongs to one process; send %s, or give its metatable __mproc_encode", name, remedy);
  return mp_codec_refuse_top(e);
}

/* "a queue lives in one machine's memory", of a shared object. */
static int refuse_handle(mp_codec_encoder *e, int idx) {
  lua_State *L = e->L;
  luaL_Buffer b;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  const char *name = luaL_getmetafield(L, idx, "__name") == LUA_TSTRING ? lua_tostring(L, -1) : "shared object";
  const char *dot = strrchr(name, '.');
  name = dot ? dot + 1 : name;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, strchr("AEIOUaeiou", *name) ? "an " : "a ");
  for (; *name; name++) luaL_addchar(&b, (char)tolower((unsigned char)*name));
  luaL_addstring(&b, " lives in one machine's memory");
  luaL_pushresult(&b);
  return mp_codec_refuse_top(e);
}

int mp_codec_put_userdata(mp_codec_encoder *e, int idx) {
  e->used |= MP_MODE_PROTECTED;
  if (!(e->mode & MP_MODE_PROTECTED)) return mp_codec_retry(e, MP_MODE_PROTECTED);
  lua_State *L = e->L;
  mp_codec_seen_entry *entry;
  const void *ptr = lua_topointer(L, idx);
  int there = mp_codec_put_reference(e, idx, ptr, &entry);
  if (there) return there > 0 ? MP_ENC_OK : -there;
  mp_codec_entry_here(e, entry);
  uint64_t handle;
  int ours = objects.handle_of ? objects.handle_of(L, idx, &handle) : 0;
  if (ours > 0 && e->abroad) return refuse_handle(e, idx);
  if (ours > 0) { /* held until it is in transit, whatever a hook does to the table it stood in */
    if (!(e->mode & MP_MODE_ANCHORED)) mp_codec_anchor(e, idx);
    return put_object(e, handle);
  }
  if (ours < 0) return mp_codec_refuse_top(e);
  int top = lua_gettop(L);
  if (!lua_getmetatable(L, idx) || !push_hook(L, top + 1)) return refuse_userdata(e, idx);
  int status = put_hooked(e, idx, top + 1, entry);
  if (!status) lua_settop(L, top);
  return status;
}

int mp_codec_put_other(mp_codec_encoder *e, int idx) {
  switch (lua_type(e->L, idx)) {
    case LUA_TTHREAD:
      return mp_codec_refuse(e, "a coroutine belongs to one process; send the function it runs");
    case LUA_TLIGHTUSERDATA:
      return mp_codec_refuse(e, "an address has no meaning in another process; send what it "
                                "points to");
    default:
      return mp_codec_refuse(e, "the argument is missing");
  }
}
