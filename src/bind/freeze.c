/* SPDX-License-Identifier: MIT */
/*
 * Freezing a graph of tables (layer 3): one walk writes it, place by place, into private memory, from which it moves into an
 * object of its very size; pages that have been moved are given back, so that it never takes twice its room. For frozen.c.
 * While it is walked the collector stands still: no Lua code runs, so the graph cannot change.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bind/freeze_map.h"
#include "bind/frozen.h"
#include "codec/names.h"

#define ROOM (UINT64_C(1) << 37) /* of address space, to begin with */
#define ROOM_LEAST (UINT64_C(1) << 24)
#define OURS "mproc." /* names of the metatables of what is a table, as a Barrier */
#define NO_MEMORY "there is no memory for all of it"
#define MOVE_BYTES (UINT64_C(4) << 20)
enum { DEPTH_MOST = 1000, STRINGS_CACHED = 4096, KEYS_FIRST = 16, STACK_EACH = 8 };

/* Places of a walk's tables on the stack: value -> word or place. */
enum { ROOT = 1, SHAPES, BIGS, OBJECTS, BASE };

typedef struct cached { /* a string that was met: Lua keeps it where it is */
  const char *s;
  uint64_t word;
} cached;

typedef struct frame { /* a table that is being written; its key is on the stack */
  const struct frame *up;
  int key;
  bool of_key; /* what is read is the key itself */
} frame;

typedef struct walk {
  lua_State *L;
  char *b;
  uint64_t end, room, seed;
  mp_lua_freeze_map tables, strings;
  uint64_t shapes;
  uint64_t *handles;
  uint32_t nhandles, handles_room;
  const frame *top;
  int depth;
  /* the keys of the last table with a hash part, as lua_next gives them, and their numbers in its shape */
  uint64_t *keys, *last_keys;
  uint32_t *numbers, keys_room, nlast;
  uint64_t last_shape;
  cached recent[STRINGS_CACHED];
} walk;

/* --- errors --- */

static void add_step(lua_State *L, luaL_Buffer *b, const frame *f) {
  if (lua_type(L, f->key) == LUA_TSTRING) {
    luaL_addchar(b, '.');
    lua_pushvalue(L, f->key);
    luaL_addvalue(b);
    return;
  }
  luaL_addchar(b, '[');
  luaL_tolstring(L, f->key, NULL);
  luaL_addvalue(b);
  luaL_addchar(b, ']');
}

static void add_path(lua_State *L, luaL_Buffer *b, const frame *f) {
  if (!f) return;
  add_path(L, b, f->up);
  if (f->key) add_step(L, b, f);
}

/* Raises "cannot freeze t.a[3]: why" */
static int refuse(walk *x, const char *why) {
  lua_State *L = x->L;
  luaL_Buffer b;
  bool of_key = x->top && x->top->of_key;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  luaL_buffinit(L, &b);
  luaL_addstring(&b, of_key ? "cannot freeze a key of t" : "cannot freeze t");
  add_path(L, &b, of_key ? x->top->up : x->top);
  luaL_addstring(&b, ": ");
  luaL_addstring(&b, why);
  luaL_pushresult(&b);
  return lua_error(L);
}

/* --- room --- */

/* The place of n bytes, which are zeroes. */
static uint64_t take(walk *x, uint64_t n) {
  uint64_t at = x->end, size = (n + 7) & ~UINT64_C(7);
  if (size > x->room - at) refuse(x, NO_MEMORY);
  x->end += size;
  return at;
}

static void *part(walk *x, uint64_t place) { return x->b + place; }

static void *grown(walk *x, void *p, size_t n) {
  void *q = realloc(p, n);
  if (!q) refuse(x, NO_MEMORY);
  return q;
}

/* --- words --- */

static uint64_t word_at(walk *x, int idx);

/* map[value at idx], a number: true and popped to *n. */
static bool look_up(walk *x, int map, int idx, uint64_t *n) {
  lua_pushvalue(x->L, idx);
  bool known = lua_rawget(x->L, map) == LUA_TNUMBER;
  if (known) *n = (uint64_t)lua_tointeger(x->L, -1);
  lua_pop(x->L, 1);
  return known;
}

static void remember(walk *x, int map, int idx, uint64_t n) {
  lua_pushvalue(x->L, idx);
  lua_pushinteger(x->L, (lua_Integer)n);
  lua_rawset(x->L, map);
}

static uint64_t write_string(walk *x, const char *s, size_t n, uint32_t hash) {
  if (n > UINT32_MAX) refuse(x, "a string of 4 GiB or more has no room in it");
  uint64_t at = take(x, sizeof(mp_shm_frozen_string) + n + 1);
  mp_shm_frozen_string *z = part(x, at);
  *z = (mp_shm_frozen_string){(uint32_t)n, hash};
  memcpy(z->bytes, s, n);
  uint64_t first = hash & ((1 << MP_FROZEN_HASH_BITS) - 1);
  uint64_t w = mp_shm_frozen_word(MP_FROZEN_STRING, at / 8 | first << MP_FROZEN_PLACE_BITS);
  if (!mp_lua_freeze_string_add(&x->strings, x->b, w)) refuse(x, NO_MEMORY);
  return w;
}

static uint64_t string_word(walk *x, int idx) {
  size_t n;
  const char *s = lua_tolstring(x->L, idx, &n);
  cached *c = &x->recent[((uintptr_t)s >> 4) % STRINGS_CACHED];
  if (c->s == s) return c->word;
  uint32_t hash = mp_shm_hash_bytes(s, n, x->seed);
  uint64_t w = mp_lua_freeze_string_find(&x->strings, x->b, s, n, hash);
  if (!w) w = write_string(x, s, n, hash);
  *c = (cached){s, w};
  return w;
}

static uint64_t integer_word(walk *x, int idx) {
  lua_Integer i = lua_tointeger(x->L, idx);
  uint64_t w;
  if (i >= -MP_FROZEN_INT_MOST && i < MP_FROZEN_INT_MOST) return mp_shm_frozen_word(MP_FROZEN_INT, (uint64_t)i);
  if (look_up(x, BIGS, idx, &w)) return w;
  uint64_t at = take(x, sizeof i);
  memcpy(part(x, at), &i, sizeof i);
  w = mp_shm_frozen_word(MP_FROZEN_BIG, at / 8);
  remember(x, BIGS, idx, w);
  return w;
}

static uint64_t add_handle(walk *x, mp_shm_handle h) {
  if (x->nhandles == x->handles_room) {
    x->handles_room = x->handles_room ? 2 * x->handles_room : KEYS_FIRST;
    x->handles = grown(x, x->handles, x->handles_room * sizeof *x->handles);
  }
  x->handles[x->nhandles] = h;
  return x->nhandles++;
}

static uint64_t object_word(walk *x, const mp_lua_box *b) {
  uint64_t n;
  if (!b->object) refuse(x, "the object has been closed");
  lua_pushinteger(x->L, (lua_Integer)b->handle);
  int key = lua_gettop(x->L);
  if (!look_up(x, OBJECTS, key, &n)) {
    n = add_handle(x, b->handle);
    remember(x, OBJECTS, key, n);
  }
  lua_settop(x->L, key - 1);
  return mp_shm_frozen_word(MP_FROZEN_OBJECT, n);
}

static uint64_t refuse_kind(walk *x, int idx) {
  switch (lua_type(x->L, idx)) {
    case LUA_TFUNCTION:
      return (uint64_t)refuse(x, "a function cannot be read in place; name what it does, and look the function up");
    case LUA_TTHREAD:
      return (uint64_t)refuse(x, "a coroutine belongs to one process");
    default:
      return (uint64_t)refuse(x, luaL_testudata(x->L, idx, LUA_FILEHANDLE)
                                     ? "a file belongs to one process; freeze its name"
                                     : "a userdata belongs to one process; freeze what it is made from");
  }
}

static uint64_t scalar_word(walk *x, int idx) {
  switch (lua_type(x->L, idx)) {
    case LUA_TNIL:
      return mp_shm_frozen_word(MP_FROZEN_NIL, 0);
    case LUA_TBOOLEAN:
      return mp_shm_frozen_word(lua_toboolean(x->L, idx) ? MP_FROZEN_TRUE : MP_FROZEN_FALSE, 0);
    case LUA_TSTRING:
      return string_word(x, idx);
    case LUA_TNUMBER:
      return lua_isinteger(x->L, idx) ? integer_word(x, idx) : mp_shm_frozen_float(lua_tonumber(x->L, idx));
    default: {
      mp_lua_box *b = mp_lua_box_any(x->L, idx);
      return b ? object_word(x, b) : refuse_kind(x, idx);
    }
  }
}

/* --- shapes --- */

static int by_word(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static uint32_t hash_of(walk *x, uint64_t key) {
  if (mp_shm_frozen_tag(key) != MP_FROZEN_STRING) return mp_shm_frozen_hash(key, x->seed);
  return ((const mp_shm_frozen_string *)part(x, (key & MP_FROZEN_PLACE) * 8))->hash;
}

static uint64_t write_shape(walk *x, const uint64_t *sorted, uint32_t n) {
  uint64_t at = take(x, mp_shm_frozen_shape_bytes(n));
  mp_shm_frozen_shape *s = part(x, at);
  s->n = n;
  memcpy(s->keys, sorted, n * sizeof *sorted);
  uint32_t *hashes = grown(x, NULL, n * sizeof *hashes);
  for (uint32_t i = 0; i < n; i++) hashes[i] = hash_of(x, sorted[i]);
  mp_shm_frozen_index(s, hashes);
  free(hashes);
  x->shapes++;
  return at;
}

/* The keys x->keys[0 .. n - 1], as lua_next gave them: their shape's place, and x->numbers. */
static uint64_t shape_of(walk *x, uint32_t n) {
  if (n == x->nlast && memcmp(x->keys, x->last_keys, n * sizeof *x->keys) == 0) return x->last_shape;
  memcpy(x->last_keys, x->keys, n * sizeof *x->keys);
  qsort(x->keys, n, sizeof *x->keys, by_word);
  lua_pushlstring(x->L, (const char *)x->keys, n * sizeof *x->keys);
  int key = lua_gettop(x->L);
  uint64_t at;
  if (!look_up(x, SHAPES, key, &at)) {
    at = write_shape(x, x->keys, n);
    remember(x, SHAPES, key, at);
  }
  lua_settop(x->L, key - 1);
  for (uint32_t i = 0; i < n; i++)
    x->numbers[i] = (uint32_t)((uint64_t *)bsearch(&x->last_keys[i], x->keys, n, sizeof *x->keys, by_word) - x->keys);
  x->nlast = n;
  x->last_shape = at;
  return at;
}

static void make_room_for_keys(walk *x) {
  uint32_t room = x->keys_room ? 2 * x->keys_room : KEYS_FIRST;
  x->keys = grown(x, x->keys, room * sizeof *x->keys);
  x->last_keys = grown(x, x->last_keys, room * sizeof *x->last_keys);
  x->numbers = grown(x, x->numbers, room * sizeof *x->numbers);
  x->keys_room = room;
}

static bool is_item(lua_State *L, int key, uint64_t narr) {
  return lua_isinteger(L, key) && (uint64_t)lua_tointeger(L, key) - 1 < narr;
}

/* The words of the keys behind the items: how many. */
static uint32_t read_keys(walk *x, int idx, uint64_t narr, frame *f) {
  lua_State *L = x->L;
  uint32_t n = 0;
  f->of_key = true;
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_pop(L, 1);
    if (is_item(L, -1, narr)) continue;
    f->key = lua_gettop(L);
    if (lua_istable(L, -1)) refuse(x, "a table cannot be a key: it is another one in each process");
    if (n == x->keys_room) make_room_for_keys(x);
    x->keys[n++] = scalar_word(x, f->key);
  }
  f->of_key = false;
  f->key = 0;
  return n;
}

/* --- tables --- */

static unsigned kind_of(lua_State *L, int idx, uint64_t narr) {
  bool integers = narr > 0, floats = narr > 0;
  for (uint64_t i = 1; i <= narr && (integers || floats); i++) {
    bool number = lua_rawgeti(L, idx, (lua_Integer)i) == LUA_TNUMBER;
    integers = integers && number && lua_isinteger(L, -1);
    floats = floats && number && !lua_isinteger(L, -1);
    lua_pop(L, 1);
  }
  return integers ? MP_FROZEN_INTEGERS : floats ? MP_FROZEN_FLOATS : MP_FROZEN_WORDS;
}

/* The place of the string that names the table's metatable, 0 for none. */
static uint64_t meta_of(walk *x, int idx) {
  lua_State *L = x->L;
  if (!lua_getmetatable(L, idx)) return 0;
  int top = lua_gettop(L);
  uint64_t w;
  mp_codec_names_push(L, MP_SLOT_HOOK);
  if (lua_rawget(L, top) != LUA_TNIL)
    refuse(x,
           "it travels as what its __mproc_encode gives, and cannot be read in place; freeze what that is made from");
  lua_pop(L, 1);
  if (mp_codec_names_of_meta(L, top) != MP_NAME_REGISTERED)
    refuse(x, "its metatable has no name; see mproc.register, or freeze a copy without it");
  if (strncmp(lua_tostring(L, -1), OURS, sizeof OURS - 1) == 0)
    refuse(x, "it is of mproc's own, and no table to those who read; send it beside the frozen table");
  w = string_word(x, lua_gettop(L));
  lua_settop(L, top - 1);
  return (w & MP_FROZEN_PLACE) * 8;
}

static void write_items(walk *x, int idx, uint64_t at, frame *f) {
  lua_State *L = x->L;
  uint32_t narr = ((mp_shm_frozen_table *)part(x, at))->narr, kind = ((mp_shm_frozen_table *)part(x, at))->kind;
  lua_pushnil(L);
  f->key = lua_gettop(L);
  for (uint32_t i = 0; i < narr; i++) {
    uint64_t w;
    lua_rawgeti(L, idx, (lua_Integer)i + 1);
    if (kind == MP_FROZEN_INTEGERS) {
      w = (uint64_t)lua_tointeger(L, -1);
    } else if (kind == MP_FROZEN_FLOATS) {
      w = mp_shm_frozen_float(lua_tonumber(L, -1));
    } else {
      lua_pushinteger(L, (lua_Integer)i + 1);
      lua_replace(L, f->key);
      w = word_at(x, lua_gettop(L));
    }
    ((mp_shm_frozen_table *)part(x, at))->words[i] = w;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  f->key = 0;
}

/* numbers: of the keys as lua_next gives them; a copy, for tables within have keys of their own. */
static void write_values(walk *x, int idx, uint64_t at, const uint32_t *numbers, frame *f) {
  lua_State *L = x->L;
  uint32_t narr = ((mp_shm_frozen_table *)part(x, at))->narr, k = 0;
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    f->key = lua_gettop(L) - 1;
    if (!is_item(L, f->key, narr)) {
      uint64_t w = word_at(x, lua_gettop(L));
      ((mp_shm_frozen_table *)part(x, at))->words[narr + numbers[k++]] = w;
    }
    lua_pop(L, 1);
  }
  f->key = 0;
}

static uint64_t write_table(walk *x, int idx, frame *f) {
  lua_State *L = x->L;
  uint64_t narr = lua_rawlen(L, idx), meta = meta_of(x, idx);
  if (narr > UINT32_MAX) refuse(x, "a list of 2^32 items or more has no room in it");
  uint32_t n = read_keys(x, idx, narr, f);
  uint64_t shape = n ? shape_of(x, n) : 0;
  uint64_t at = take(x, sizeof(mp_shm_frozen_table) + 8 * (narr + n));
  *(mp_shm_frozen_table *)part(x, at) = (mp_shm_frozen_table){(uint32_t)narr, kind_of(L, idx, narr), shape, meta};
  if (!mp_lua_freeze_table_add(&x->tables, lua_topointer(L, idx), at)) refuse(x, NO_MEMORY);
  uint32_t few[KEYS_FIRST], *numbers = n <= KEYS_FIRST ? few : lua_newuserdatauv(L, n * sizeof *numbers, 0);
  if (n) memcpy(numbers, x->numbers, n * sizeof *numbers);
  write_items(x, idx, at, f);
  if (n) write_values(x, idx, at, numbers, f);
  return at;
}

static uint64_t table_place(walk *x, int idx) {
  uint64_t at;
  if (mp_lua_freeze_table_find(&x->tables, lua_topointer(x->L, idx), &at)) return at;
  if (++x->depth > DEPTH_MOST) refuse(x, "it is nested too deeply (1000 levels)");
  luaL_checkstack(x->L, STACK_EACH + LUA_MINSTACK, "it is nested too deeply");
  int top = lua_gettop(x->L);
  frame f = {x->top, 0, false};
  x->top = &f;
  at = write_table(x, idx, &f);
  x->top = f.up;
  x->depth--;
  lua_settop(x->L, top);
  return at;
}

static uint64_t word_at(walk *x, int idx) {
  if (lua_type(x->L, idx) != LUA_TTABLE) {
    if (mp_lua_frozen_test(x->L, idx))
      refuse(x, "it is frozen already; put mproc.thaw of it there, or keep it beside this table");
    return scalar_word(x, idx);
  }
  return mp_shm_frozen_word(MP_FROZEN_TABLE, table_place(x, idx) / 8);
}

/* --- all of it --- */

/* What only the walk needs: it goes before the block is moved, when memory is shortest. */
static void drop_helps(walk *x) {
  mp_lua_freeze_map_drop(&x->tables);
  mp_lua_freeze_map_drop(&x->strings);
  free(x->keys);
  free(x->last_keys);
  free(x->numbers);
  free(x->handles);
  x->keys = x->last_keys = x->handles = NULL;
  x->numbers = NULL;
}

static void drop(walk *x) {
  if (x->b) munmap(x->b, x->room);
  drop_helps(x);
}

static bool map_room(walk *x) {
  for (x->room = ROOM; x->room >= ROOM_LEAST; x->room /= 2) {
    x->b = mmap(NULL, x->room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (x->b != MAP_FAILED) return true;
  }
  x->b = NULL;
  return false;
}

/* Protected: the table at ROOT, the walk as light userdata behind it. */
static int walk_protected(lua_State *L) {
  walk *x = lua_touserdata(L, 2);
  x->L = L;
  lua_settop(L, ROOT);
  for (int i = ROOT + 1; i < BASE; i++) lua_newtable(L);
  x->end = sizeof(mp_shm_frozen);
  uint64_t root = table_place(x, ROOT);
  uint64_t handles = take(x, x->nhandles * sizeof *x->handles);
  if (x->nhandles) memcpy(part(x, handles), x->handles, x->nhandles * sizeof *x->handles);
  *(mp_shm_frozen *)part(x, 0) =
      (mp_shm_frozen){x->end, x->seed, root, x->tables.n, x->strings.n, x->shapes, handles, 0};
  return 0;
}

/* Moves what was written into the block, page by page. */
static void move(walk *x, char *to) {
  for (uint64_t at = 0; at < x->end; at += MOVE_BYTES) {
    uint64_t n = x->end - at < MOVE_BYTES ? x->end - at : MOVE_BYTES;
    memcpy(to + at, x->b + at, n);
    madvise(x->b + at, MOVE_BYTES, MADV_DONTNEED);
  }
}

/* The object, with what was walked. 0, or -errno. */
static int make_object(lua_State *L, walk *x, mp_shm_handle *h) {
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_frozen_new(x->end, &w, h);
  if (err) return err;
  mp_shm_frozen *f = mp_shm_object_block(*h, MP_TYPE_FROZEN);
  move(x, (char *)f);
  err = mp_shm_frozen_keep(f, x->nhandles, &w);
  if (err) mp_shm_object_unuse(*h);
  return err;
}

static int walk_all(lua_State *L, walk *x) {
  bool running = lua_gc(L, LUA_GCISRUNNING);
  lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(L, walk_protected);
  lua_pushvalue(L, 1);
  lua_pushlightuserdata(L, x);
  int status = lua_pcall(L, 2, 0, 0);
  if (running) lua_gc(L, LUA_GCRESTART);
  return status;
}

int mp_lua_freeze(lua_State *L, mp_shm_handle *h) {
  walk *x = calloc(1, sizeof *x);
  if (!x || !map_room(x) || mp_os_random(&x->seed, sizeof x->seed) != 0) {
    if (x) drop(x);
    free(x);
    return mp_lua_misuse(L, "cannot freeze t: " NO_MEMORY);
  }
  int err = 0, status = walk_all(L, x);
  if (status == LUA_OK) {
    drop_helps(x);
    err = make_object(L, x, h);
  }
  drop(x);
  free(x);
  if (status == LUA_ERRMEM) return lua_error(L);
  if (status != LUA_OK) return mp_lua_misuse(L, lua_tostring(L, -1));
  return err;
}
