/* SPDX-License-Identifier: MIT */
/*
 * Decoding of what is more than its contents. Without MP_CODEC_FUNCTIONS
 * nothing here runs or makes code: no functions, decode hooks or finalizers.
 */
#include <lauxlib.h>

#include "decoder.h"
#include "encoder.h"
#include "names.h"

/* What the reader, or else the sender, is to do about it. */
static const char *remedy_of(unsigned flags) {
  if (flags & MP_CODEC_PEER) return "needs trusted = true at both ends";
  if (flags & MP_CODEC_HANDLES) return "pass {functions = true}";
  return "what comes from another machine has none; send plain values, as encode with {abroad = true} checks";
}

static int refuse(mp_codec_decoder *d, const char *what) {
  lua_pushfstring(d->L, "it contains %s; %s", what, remedy_of(d->flags));
  return mp_codec_decode_fail(d, lua_tostring(d->L, -1));
}

static int refuse_function(mp_codec_decoder *d) { return refuse(d, "a function"); }
static int refuse_hook(mp_codec_decoder *d) { return refuse(d, "an object that a function must make"); }

/* Records a reason made of a format with one %s. */
static int fail_with(mp_codec_decoder *d, const char *format, const char *arg) {
  lua_pushfstring(d->L, format, arg);
  return mp_codec_decode_fail(d, lua_tostring(d->L, -1));
}

/* Decodes a string, as a value or a reference. */
static int decode_name(mp_codec_decoder *d) {
  if (mp_codec_decode_value(d)) return -1;
  if (lua_type(d->L, -1) != LUA_TSTRING) return mp_codec_decode_fail(d, "a name is no string");
  return 0;
}

/* Calls require with the name at the top; its result comes on top. */
static void call_require(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  lua_getfield(L, -1, "require");
  lua_pushvalue(L, -3);
  lua_call(L, 1, 1);
  lua_remove(L, -2);
}

/* Pushes the module whose name is read. */
static int decode_module(mp_codec_decoder *d) {
  lua_State *L = d->L;
  if (decode_name(d)) return -1;
  mp_codec_names_push_loaded(L);
  lua_pushvalue(L, -2);
  int type = lua_rawget(L, -2);
  lua_remove(L, -2);
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    if (!(d->flags & MP_CODEC_REQUIRE))
      return fail_with(d, "it needs the module '%s', which is not loaded", lua_tostring(L, -1));
    call_require(L);
  }
  lua_remove(L, -2);
  return 0;
}

/* Pushes the field of a module: a function or a table. */
static int decode_field(mp_codec_decoder *d) {
  lua_State *L = d->L;
  if (decode_module(d) || decode_name(d)) return -1;
  const char *field = lua_tostring(L, -1);
  lua_pushvalue(L, -1);
  if (!lua_istable(L, -3)) return fail_with(d, "a module has no field '%s' here", field);
  lua_rawget(L, -3);
  if (!lua_istable(L, -1) && !lua_isfunction(L, -1)) return fail_with(d, "a module has no field '%s' here", field);
  lua_replace(L, -3);
  lua_pop(L, 1);
  return 0;
}

/* Pushes the metatable that is registered under the name that is read. */
static int decode_registered(mp_codec_decoder *d) {
  lua_State *L = d->L;
  if (decode_name(d)) return -1;
  int name = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_BY_NAME);
  lua_pushvalue(L, name);
  if (!lua_istable(L, -2) || lua_rawget(L, -2) != LUA_TTABLE)
    return fail_with(d, "no metatable is registered as '%s' here; call mproc.register", lua_tostring(L, name));
  lua_rawgeti(L, -1, 1);
  lua_replace(L, name);
  lua_settop(L, name);
  return 0;
}

/* Pushes the metatable of an earlier designator. */
static int decode_meta_ref(mp_codec_decoder *d) {
  lua_Integer offset;
  if (mp_codec_decode_offset(d, &offset)) return -1;
  if (mp_codec_decode_recall(d, -offset) != LUA_TTABLE)
    return mp_codec_decode_fail(d, "a metatable's reference leads nowhere");
  return 0;
}

/* Pushes the table that a designator names. */
static int decode_designator(mp_codec_decoder *d) {
  if (d->p == d->end) return mp_codec_decode_fail(d, "it is cut off");
  size_t offset = (size_t)(d->p - d->start);
  unsigned tag = mp_codec_take(d);
  int status;
  switch (tag & MP_TAG_MASK) {
    case MP_MODULE:
      status = decode_module(d);
      break;
    case MP_FIELD:
      status = decode_field(d);
      break;
    case MP_REGISTERED:
      status = decode_registered(d);
      break;
    case MP_META_REF:
      return decode_meta_ref(d);
    default:
      return mp_codec_decode_fail(d, "a metatable has no name");
  }
  if (status) return -1;
  if (!lua_istable(d->L, -1)) return mp_codec_decode_fail(d, "what should be a metatable is no table here");
  if (tag & MP_SHARED && tag < MP_TAG_SHORT) mp_codec_decode_remember(d, -(lua_Integer)offset);
  return 0;
}

/* Sets the metatable at mt for the table at the top. */
static int set_metatable(mp_codec_decoder *d, int mt) {
  lua_State *L = d->L;
  mp_codec_names_push(L, MP_SLOT_GC);
  lua_rawget(L, mt);
  int has_finalizer = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (has_finalizer && !(d->flags & MP_CODEC_FUNCTIONS)) return refuse_hook(d);
  lua_pushvalue(L, mt);
  lua_setmetatable(L, -2);
  return 0;
}

static int decode_meta(mp_codec_decoder *d, int shared, size_t offset) {
  if (decode_designator(d)) return -1;
  int mt = lua_gettop(d->L);
  if (d->p == d->end || mp_codec_take(d) != MP_TABLE) return mp_codec_decode_fail(d, "a metatable has no table");
  if (mp_codec_decode_table(d, shared, offset) || set_metatable(d, mt)) return -1;
  lua_replace(d->L, mt);
  return 0;
}

/* Decodes a plain value one level down. */
static int decode_plain(mp_codec_decoder *d, unsigned *tag) {
  if (mp_codec_decode_descend(d) || mp_codec_decode_tag(d, tag) || mp_codec_decode_rest(d, *tag)) return -1;
  d->depth--;
  return 0;
}

/* An object whose metatable has no decode hook: a fresh table gets it, any
 * other value stays what it is. */
static int decode_unhooked(mp_codec_decoder *d, int mt) {
  unsigned tag;
  if (decode_plain(d, &tag)) return -1;
  tag &= ~(unsigned)MP_SHARED;
  return tag == MP_TABLE || tag == MP_META ? set_metatable(d, mt) : 0;
}

static int decode_hooked(mp_codec_decoder *d) {
  lua_State *L = d->L;
  if (decode_designator(d)) return -1;
  int mt = lua_gettop(L);
  if (!mp_codec_names_push_decode_hook(L, mt)) {
    if (decode_unhooked(d, mt)) return -1;
  } else {
    if (!(d->flags & MP_CODEC_FUNCTIONS)) return refuse_hook(d);
    unsigned tag;
    if (decode_plain(d, &tag)) return -1;
    lua_call(L, 1, 1);
  }
  lua_replace(L, mt);
  return 0;
}

/* The dump of a function, for lua_load. */
typedef struct dump {
  const char *s;
  size_t n;
} dump;

static const char *read_dump(lua_State *L, void *ud, size_t *n) {
  (void)L;
  dump *r = ud;
  *n = r->n;
  r->n = 0;
  return *n ? r->s : NULL;
}

/* Pushes the closure, its upvalues unset. */
static int load_code(mp_codec_decoder *d) {
  uint64_t len;
  if (mp_codec_decode_count(d, &len)) return -1;
  if (len > mp_codec_left(d)) return mp_codec_decode_fail(d, "it is cut off");
  dump r = {(const char *)d->p, (size_t)len};
  int status = lua_load(d->L, read_dump, &r, "=mproc", "b");
  d->p += len;
  if (status == LUA_ERRSYNTAX) return fail_with(d, "%s", lua_tostring(d->L, -1));
  return status ? lua_error(d->L) : 0;
}

/* Joins upvalue i of the function at the top with an earlier one. */
static int join_upvalue(mp_codec_decoder *d, int i) {
  lua_State *L = d->L;
  lua_Integer offset;
  int function = lua_gettop(L);
  if (mp_codec_decode_offset(d, &offset)) return -1;
  if (mp_codec_decode_recall(d, -offset) != LUA_TNUMBER || mp_codec_decode_recall(d, offset) != LUA_TFUNCTION)
    return mp_codec_decode_fail(d, "an upvalue's reference leads nowhere");
  lua_upvaluejoin(L, function, i, function + 2, (int)lua_tointeger(L, function + 1));
  lua_settop(L, function);
  return 0;
}

/* Keeps the upvalue i of the function at the top for references to `offset`. */
static void remember_upvalue(mp_codec_decoder *d, int i, size_t offset) {
  mp_codec_decode_remember(d, (lua_Integer)offset);
  lua_pushinteger(d->L, i);
  mp_codec_decode_remember(d, -(lua_Integer)offset);
  lua_pop(d->L, 1);
}

static int decode_upvalue(mp_codec_decoder *d, int i) {
  lua_State *L = d->L;
  if (d->p == d->end) return mp_codec_decode_fail(d, "it is cut off");
  size_t offset = (size_t)(d->p - d->start);
  unsigned tag = mp_codec_take(d);
  if (tag == MP_UPVALUE_REF) return join_upvalue(d, i);
  if ((tag & ~(unsigned)MP_SHARED) != MP_UPVALUE) return mp_codec_decode_fail(d, "a function lacks an upvalue");
  if (tag & MP_SHARED) remember_upvalue(d, i, offset);
  if (mp_codec_decode_value(d)) return -1;
  lua_setupvalue(L, -2, i);
  return 0;
}

static int decode_function(mp_codec_decoder *d, int shared, size_t offset) {
  uint64_t nups;
  lua_Debug ar;
  if (!(d->flags & MP_CODEC_FUNCTIONS)) return refuse_function(d);
  if (mp_codec_decode_descend(d) || load_code(d)) return -1;
  if (shared) mp_codec_decode_remember(d, (lua_Integer)offset);
  lua_pushvalue(d->L, -1);
  lua_getinfo(d->L, ">u", &ar);
  if (mp_codec_decode_number(d, &nups)) return -1;
  if (nups != ar.nups) return mp_codec_decode_fail(d, "a function has other upvalues than its code");
  for (int i = 1; i <= ar.nups; i++) {
    if (decode_upvalue(d, i)) return -1;
  }
  d->depth--;
  return 0;
}

static int decode_handle(mp_codec_decoder *d) {
  uint64_t handle;
  if (!(d->flags & MP_CODEC_HANDLES))
    return mp_codec_decode_fail(
        d, "it contains a shared object, which lives in one machine's memory and travels through queues only");
  if (mp_codec_decode_count(d, &handle)) return -1;
  if (!mp_codec_push_object(d->L, handle)) return mp_codec_decode_fail(d, "a shared object in it is gone");
  return 0;
}

/* A function or table by its name. */
static int decode_named(mp_codec_decoder *d, unsigned kind) {
  int status = kind == MP_MODULE ? decode_module(d) : kind == MP_FIELD ? decode_field(d) : decode_registered(d);
  if (!status && lua_isfunction(d->L, -1) && !(d->flags & MP_CODEC_FUNCTIONS)) return refuse_function(d);
  return status;
}

int mp_codec_decode_object(mp_codec_decoder *d, unsigned tag, size_t offset) {
  int shared = tag & MP_SHARED;
  int status = 0;
  switch (tag & MP_TAG_MASK) {
    case MP_FUNCTION:
      return decode_function(d, shared, offset);
    case MP_META:
      return decode_meta(d, shared, offset);
    case MP_GLOBALS:
      lua_rawgeti(d->L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
      break;
    case MP_MODULE:
    case MP_FIELD:
    case MP_REGISTERED:
      status = decode_named(d, tag & MP_TAG_MASK);
      break;
    case MP_HOOKED:
      status = decode_hooked(d);
      break;
    case MP_PLAIN:
      status = decode_plain(d, &tag);
      break;
    case MP_OBJECT:
      status = decode_handle(d);
      break;
    default:
      status = mp_codec_decode_fail(d, "a byte stands for nothing");
  }
  if (!status && shared) mp_codec_decode_remember(d, (lua_Integer)offset);
  return status;
}
