/* SPDX-License-Identifier: MIT */
/*
 * The codec's speed, in one process: a list of 100,000 floats against bare loops
 * of lua_rawgeti and lua_rawseti compiled here, with the same flags; then the
 * nanoseconds of small values. CPU time, medians of alternating rounds; "ratio" is bare
 * time by codec time. Encoding covers mp_codec_encode, copying the pieces into
 * a buffer, and release; decoding covers mp_codec_decode and dropping the value.
 *
 *   cc -O2 bench/codec_floats.c src/codec/[a-z]*.c -Isrc -llua5.4
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../src/codec/codec.h"

#define FLOATS 100000
#define ROUNDS 101
#define SMALL_CALLS 5000

static double floats[FLOATS];
static unsigned char bytes[16 * FLOATS];
static size_t nbytes;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void bare_read(lua_State *L, int idx) {
  for (int i = 0; i < FLOATS; i++) {
    lua_rawgeti(L, idx, i + 1);
    floats[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
}

static void bare_write(lua_State *L, int idx) {
  (void)idx;
  lua_createtable(L, FLOATS, 0);
  for (int i = 0; i < FLOATS; i++) {
    lua_pushnumber(L, floats[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pop(L, 1);
}

static void encode(lua_State *L, int idx) {
  mp_codec_message m;
  if (mp_codec_encode(L, idx, "value", &m)) abort();
  unsigned char *p = bytes;
  for (size_t i = 0; i < m.niov; i++) {
    memcpy(p, m.iov[i].base, m.iov[i].len);
    p += m.iov[i].len;
  }
  nbytes = m.len;
  mp_codec_release(L, &m);
  lua_pop(L, 1);
}

static void decode(lua_State *L, int idx) {
  (void)idx;
  if (!mp_codec_decode_scalar(L, bytes, nbytes) && mp_codec_decode(L, bytes, nbytes, 0) != 1) abort();
  lua_pop(L, 1);
}

typedef void (*timed)(lua_State *L, int idx);

static double measure(lua_State *L, int idx, timed f, int calls) {
  double start = now();
  for (int i = 0; i < calls; i++) f(L, idx);
  return (now() - start) / calls;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *v) {
  qsort(v, ROUNDS, sizeof *v, by_value);
  return v[ROUNDS / 2];
}

/* Times bare and ours in turn; prints medians for each element and the ratio. */
static void compare(lua_State *L, const char *what, timed bare, timed ours) {
  double a[ROUNDS], b[ROUNDS];
  for (int i = 0; i < ROUNDS; i++) {
    lua_gc(L, LUA_GCCOLLECT, 0);
    a[i] = measure(L, 1, bare, 1);
    lua_gc(L, LUA_GCCOLLECT, 0);
    b[i] = measure(L, 1, ours, 1);
  }
  double x = median(a), y = median(b);
  printf("%-28s bare %6.2f ns/float   codec %6.2f   ratio %.2f\n", what, x / FLOATS, y / FLOATS, x / y);
}

/* Times encode and decode of the value of a Lua expression. */
static void small(lua_State *L, const char *expression) {
  double a[ROUNDS], b[ROUNDS];
  lua_settop(L, 0);
  lua_pushfstring(L, "return %s", expression);
  if (luaL_dostring(L, lua_tostring(L, 1))) abort();
  lua_remove(L, 1);
  for (int i = 0; i < ROUNDS; i++) {
    a[i] = measure(L, 1, encode, SMALL_CALLS);
    b[i] = measure(L, 1, decode, SMALL_CALLS);
  }
  printf("%-32s encode %7.1f ns   decode %7.1f ns   %5zu bytes\n", expression, median(a), median(b), nbytes);
}

int main(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  mp_codec_open(L);
  lua_settop(L, 0);
  if (luaL_dostring(L, "local t = {} for i = 1, 100000 do t[i] = i / 7 end return t")) abort();
  compare(L, "100,000 floats, encode", bare_read, encode);
  compare(L, "100,000 floats, decode", bare_write, decode);
  small(L, "{id=1, name='x', tags={1,2,3}}");
  small(L, "123456789");
  small(L, "1.5");
  small(L, "'x'");
  small(L, "('x'):rep(1024)");
  small(L, "{('x'):rep(1024), 1}");
  lua_close(L);
  return 0;
}
