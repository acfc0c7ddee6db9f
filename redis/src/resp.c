/* SPDX-License-Identifier: MIT */
/*
 * The protocol of Redis as bytes: hiredis' reader, and commands. Used by lua/mproc/far/redis/ alone; knows no socket.
 * Invariant: a reply that is being made into Lua values belongs to its reader, which frees it whatever is raised meanwhile.
 *
 * nil is false, in a reply and as one; an error is false and its text, or { err = text } inside an array.
 */
#include <hiredis/hiredis.h>
#include <lauxlib.h>
#include <string.h>

#define READER "mproc.redis.Reader"

typedef struct reader { /* both NULL once it is collected */
  redisReader *parser;
  redisReply *reply;
} reader;

static void push(lua_State *L, const redisReply *r) {
  luaL_checkstack(L, 4, NULL);
  switch (r->type) {
    case REDIS_REPLY_INTEGER:
      lua_pushinteger(L, r->integer);
      return;
    case REDIS_REPLY_NIL:
      lua_pushboolean(L, 0);
      return;
    case REDIS_REPLY_ARRAY:
      lua_createtable(L, (int)r->elements, 0);
      for (size_t i = 0; i < r->elements; i++) {
        push(L, r->element[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
      }
      return;
    case REDIS_REPLY_ERROR:
      lua_createtable(L, 0, 1);
      lua_pushlstring(L, r->str, (size_t)r->len);
      lua_setfield(L, -2, "err");
      return;
    default:
      lua_pushlstring(L, r->str, (size_t)r->len);
  }
}

static void drop_reply(reader *r) {
  if (r->reply) freeReplyObject(r->reply);
  r->reply = NULL;
}

static reader *self(lua_State *L) {
  reader *r = luaL_checkudata(L, 1, READER);
  luaL_argcheck(L, r->parser, 1, "a reader that is gone");
  return r;
}

/* reader:feed(bytes): what the socket gave. Raises for memory. */
static int reader_feed(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 2, &n);
  if (redisReaderFeed(self(L)->parser, bytes, n) != REDIS_OK) return luaL_error(L, "not enough memory");
  return 0;
}

/* reader:next() -> true, reply | true, false, text of an error; false when no whole reply is there; nil, what is wrong with
 * the bytes. */
static int reader_next(lua_State *L) {
  reader *r = self(L);
  void *reply = NULL;
  drop_reply(r);
  if (redisReaderGetReply(r->parser, &reply) != REDIS_OK)
    return lua_pushnil(L), lua_pushstring(L, r->parser->errstr), 2;
  r->reply = reply;
  lua_pushboolean(L, reply != NULL);
  if (!reply) return 1;
  if (r->reply->type == REDIS_REPLY_ERROR) {
    lua_pushboolean(L, 0);
    lua_pushlstring(L, r->reply->str, (size_t)r->reply->len);
    return 3;
  }
  push(L, r->reply);
  drop_reply(r);
  return 2;
}

static int reader_gc(lua_State *L) {
  reader *r = luaL_checkudata(L, 1, READER);
  drop_reply(r);
  if (r->parser) redisReaderFree(r->parser);
  r->parser = NULL;
  return 0;
}

/* reader() -> a reader of one connection */
static int resp_reader(lua_State *L) {
  reader *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (reader){NULL, NULL};
  luaL_setmetatable(L, READER);
  r->parser = redisReaderCreate();
  return r->parser ? 1 : luaL_error(L, "not enough memory");
}

enum { HEAD_MOST = 1 + 20 + 2 /* a letter, a number, the line's end */ };

/* Writes the line of a length; returns where it ends. */
static char *put_head(char *to, char letter, size_t number) {
  char digits[HEAD_MOST];
  int n = 0;
  do {
    digits[n++] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  *to++ = letter;
  while (n > 0) *to++ = digits[--n];
  *to++ = '\r';
  *to++ = '\n';
  return to;
}

/* command(name, ...) -> its bytes. Arguments are strings and numbers. */
static int resp_command(lua_State *L) {
  int n = lua_gettop(L);
  size_t most = HEAD_MOST;
  luaL_Buffer b;
  for (int i = 1; i <= n; i++) {
    luaL_checkstring(L, i);
    most += HEAD_MOST + lua_rawlen(L, i) + 2;
  }
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  char *begin = luaL_buffinitsize(L, &b, most), *to = put_head(begin, '*', (size_t)n);
  for (int i = 1; i <= n; i++) {
    size_t len = lua_rawlen(L, i);
    to = put_head(to, '$', len);
    memcpy(to, lua_tostring(L, i), len);
    to += len;
    *to++ = '\r';
    *to++ = '\n';
  }
  luaL_pushresultsize(&b, (size_t)(to - begin));
  return 1;
}

#pragma GCC visibility push(default)
int luaopen_mproc_far_redis_resp(lua_State *L);
#pragma GCC visibility pop

int luaopen_mproc_far_redis_resp(lua_State *L) {
  static const luaL_Reg methods[] = {{"feed", reader_feed}, {"next", reader_next}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"reader", resp_reader}, {"command", resp_command}, {NULL, NULL}};
  if (luaL_newmetatable(L, READER)) {
    lua_pushcfunction(L, reader_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  luaL_newlib(L, functions);
  return 1;
}
