/* SPDX-License-Identifier: MIT */
/* Error paths: args[2].log, value["weird key"], value.f.<upvalue x of a.lua:3>. */
#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "encoder.h"

/* Of longer paths only the ends are shown. */
#define MP_PATH_HEAD 4
#define MP_PATH_TAIL 4

/* Of longer keys only the beginning is shown. */
#define MP_PATH_KEY 40

static int is_name(const char *s, size_t len) {
  if (len == 0 || len > MP_PATH_KEY || isdigit((unsigned char)*s)) return 0;
  for (size_t i = 0; i < len; i++) {
    if (!isalnum((unsigned char)s[i]) && s[i] != '_') return 0;
  }
  return 1;
}

/* Pushes ["key"], with what cannot be printed as escapes. */
static void push_quoted(lua_State *L, const char *s, size_t len) {
  char out[4 * MP_PATH_KEY + 1];
  size_t n = 0;
  for (size_t i = 0; i < len && i < MP_PATH_KEY; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c == '"' || c == '\\')
      n += (size_t)sprintf(out + n, "\\%c", c);
    else if (c < ' ' || c == 127)
      n += (size_t)sprintf(out + n, "\\%03d", c);
    else
      out[n++] = (char)c;
  }
  out[n] = '\0';
  lua_pushfstring(L, "[\"%s%s\"]", out, len > MP_PATH_KEY ? "..." : "");
}

static void push_key(lua_State *L, int key) {
  size_t len;
  const char *s;
  switch (lua_type(L, key)) {
    case LUA_TSTRING:
      s = lua_tolstring(L, key, &len);
      if (is_name(s, len))
        lua_pushfstring(L, ".%s", s);
      else
        push_quoted(L, s, len);
      break;
    case LUA_TNUMBER:
      lua_pushvalue(L, key);
      lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
      lua_remove(L, -2);
      break;
    case LUA_TBOOLEAN:
      lua_pushstring(L, lua_toboolean(L, key) ? "[true]" : "[false]");
      break;
    default:
      lua_pushfstring(L, "[a %s]", luaL_typename(L, key));
  }
}

static void push_upvalue(lua_State *L, const mp_codec_frame *f) {
  lua_Debug ar;
  const char *name = lua_getupvalue(L, f->key, (int)f->i);
  lua_pop(L, 1);
  lua_pushvalue(L, f->key);
  lua_getinfo(L, ">S", &ar);
  lua_pushfstring(L, ".<upvalue %s of function at %s:%d>", name, ar.short_src, ar.linedefined);
}

static void push_frame(lua_State *L, const mp_codec_frame *f) {
  switch (f->kind) {
    case MP_FRAME_ITEM:
      lua_pushfstring(L, "[%I]", (LUAI_UACINT)f->i);
      break;
    case MP_FRAME_FIELD:
      push_key(L, f->key);
      break;
    case MP_FRAME_KEY:
      lua_pushfstring(L, ".<key: a %s>", luaL_typename(L, f->key));
      break;
    case MP_FRAME_UPVALUE:
      push_upvalue(L, f);
      break;
    case MP_FRAME_HOOK:
      lua_pushliteral(L, ".<__mproc_encode>");
      break;
  }
}

/* The frame that lies n levels above f. */
static const mp_codec_frame *above(const mp_codec_frame *f, int n) {
  while (n-- > 0) f = f->up;
  return f;
}

/* Appends the frames from number `first` to before `last`, counted from the root,
 * to the string at the top. */
static void append_frames(mp_codec_encoder *e, int count, int first, int last) {
  for (int i = first; i < last; i++) {
    push_frame(e->L, above(e->frame, count - 1 - i));
    lua_concat(e->L, 2);
  }
}

void mp_codec_push_path(mp_codec_encoder *e) {
  int count = 0;
  for (const mp_codec_frame *f = e->frame; f; f = f->up) count++;
  luaL_checkstack(e->L, 8, NULL);
  lua_pushstring(e->L, e->what);
  if (count <= MP_PATH_HEAD + MP_PATH_TAIL) {
    append_frames(e, count, 0, count);
    return;
  }
  append_frames(e, count, 0, MP_PATH_HEAD);
  lua_pushliteral(e->L, " ... ");
  lua_concat(e->L, 2);
  append_frames(e, count, count - MP_PATH_TAIL, count);
}

int mp_codec_refuse(mp_codec_encoder *e, const char *reason) {
  if (!(e->mode & MP_MODE_PROTECTED)) return mp_codec_retry(e, MP_MODE_PROTECTED);
  luaL_checkstack(e->L, 8, NULL);
  lua_pushstring(e->L, reason);
  return mp_codec_refuse_top(e);
}

int mp_codec_refuse_top(mp_codec_encoder *e) {
  mp_codec_push_path(e);
  lua_insert(e->L, -2);
  return MP_ENC_FAIL;
}
