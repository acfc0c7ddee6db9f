/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: decodes arbitrary bytes as mproc.decode does (no flags). What
 * decodes is encoded and decoded again, and must be the same value, shared
 * references included.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined ctest/codec/fuzz_decode.c
 *     src/codec/[a-z]*.c -llua5.4 && ./a.out -max_len=4096 ctest/codec/corpus
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

/* A Lua state serves so many inputs. */
#define RUNS_PER_STATE 5000

/* More than any small input may claim: a larger request is a bug. */
#define MEMORY_LIMIT ((size_t)256 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* same(a, b): equal bit for bit, in contents and in what is shared; keys that are
 * tables are counted only. */
static const char same[] = "local function same(a, b, seen)\n"
                           "  if rawequal(a, b) and a ~= 0 then return true end\n"
                           "  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return false end\n"
                           "  if math.type(a) then return string.pack('n', a) == string.pack('n', b) end\n"
                           "  if type(a) ~= 'table' then return false end\n"
                           "  if seen[a] then return rawequal(seen[a], b) end\n"
                           "  seen[a] = b\n"
                           "  local count = 0\n"
                           "  for k, v in next, a do\n"
                           "    count = count + 1\n"
                           "    if type(k) ~= 'table' and not same(v, rawget(b, k), seen) then return false end\n"
                           "  end\n"
                           "  for _ in next, b do count = count - 1 end\n"
                           "  return count == 0 and rawequal(getmetatable(a), getmetatable(b))\n"
                           "end\n"
                           "function _G.same(a, b) return same(a, b, {}) end\n";

static size_t in_use;

static void *limited(void *ud, void *p, size_t old, size_t size) {
  (void)ud;
  if (!p) old = 0;
  if (size > old && in_use + (size - old) > MEMORY_LIMIT) abort();
  in_use += size - old;
  if (size) return realloc(p, size);
  free(p);
  return NULL;
}

/* Objects: a full userdata stands for each handle. */
static int handle_of(lua_State *L, int idx, uint64_t *handle) {
  *handle = 7;
  return lua_isuserdata(L, idx);
}

/* No handle is ever made of bytes that come from abroad, nor written to bytes that go there. */
static int push_handle(lua_State *L, uint64_t handle) {
  (void)L, (void)handle;
  abort();
}

static lua_State *new_state(void) {
  static const mp_codec_objects objects = {handle_of, push_handle};
  mp_codec_set_objects(&objects);
  lua_State *L = lua_newstate(limited, NULL);
  luaL_openlibs(L);
  mp_codec_open(L);
  lua_settop(L, 0);
  lua_newtable(L);
  mp_codec_register(L, "Point", 1, 0);
  lua_settop(L, 0);
  luaL_dostring(L, "local hooked = {__mproc_encode = function(v) return v.plain end} "
                   "return hooked, function(plain) return {plain} end");
  mp_codec_register(L, "Hooked", 1, 2);
  lua_settop(L, 0);
  if (luaL_dostring(L, same)) abort();
  return L;
}

/* What came from abroad can go abroad; beside a handle it cannot. */
static void check_abroad(lua_State *L) {
  mp_codec_message m;
  if (mp_codec_encode_abroad(L, lua_gettop(L), "value", &m) == 0) {
    if (m.nhandles || m.code) abort();
    mp_codec_release(L, &m);
  }
  lua_pop(L, 1);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, 1);
  lua_newuserdatauv(L, 1, 0);
  lua_rawseti(L, -2, 2);
  if (mp_codec_encode_abroad(L, lua_gettop(L), "value", &m) == 0) abort();
  lua_pop(L, 2);
}

/* Encodes the value at the top into a malloc'd copy; 0 when it cannot travel. */
static size_t encode(lua_State *L, unsigned char **copy) {
  mp_codec_message m;
  if (mp_codec_encode(L, lua_gettop(L), "value", &m)) {
    lua_pop(L, 1);
    return 0;
  }
  unsigned char *p = *copy = malloc(m.len);
  for (size_t i = 0; i < m.niov; i++) {
    memcpy(p, m.iov[i].base, m.iov[i].len);
    p += m.iov[i].len;
  }
  mp_codec_release(L, &m);
  lua_pop(L, 1);
  return m.len;
}

/* The value at the top survives a round trip. */
static void check_round_trip(lua_State *L) {
  unsigned char *copy;
  size_t n = encode(L, &copy);
  if (!n) return;
  lua_getglobal(L, "same");
  lua_insert(L, -2);
  if (mp_codec_decode(L, copy, n, MP_CODEC_FUNCTIONS) != 1) abort();
  free(copy);
  if (lua_pcall(L, 2, 1, 0) || !lua_toboolean(L, -1)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  static int runs;
  if (!L) L = new_state();
  if (mp_codec_decode_scalar(L, data, size)) lua_pop(L, 1);
  int count = mp_codec_decode(L, data, size, 0);
  if (count == 1) {
    check_abroad(L);
    check_round_trip(L);
  }
  lua_settop(L, 0);
  if (mp_codec_scratch_used()) abort();
  if (++runs % RUNS_PER_STATE == 0) {
    lua_close(L);
    L = NULL;
  }
  return 0;
}
