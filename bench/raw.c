/* SPDX-License-Identifier: MIT */
/*
 * The yardstick of the benchmarks: what plain C does between two processes, without any of mproc's promises.
 * A Lua module for the programs of bench/ only. Every call forks its partner, waits for it and returns seconds.
 */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <linux/futex.h>
#include <lua.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE 128
#define SPINS_BEFORE_YIELD 10000

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *share(lua_State *L, size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) luaL_error(L, "no shared memory");
  return p;
}

static pid_t partner(lua_State *L) {
  pid_t pid = fork();
  if (pid < 0) luaL_error(L, "fork failed");
  return pid;
}

static void pause_once(unsigned *spins) {
  if (++*spins % SPINS_BEFORE_YIELD == 0) sched_yield();
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

/* one_cpu(): this process, and what it forks from now on, stays on the CPU it is on */
static int raw_one_cpu(lua_State *L) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)sched_getcpu(), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return luaL_error(L, "cannot stay on one CPU");
  return 0;
}

/* now() -> seconds on the monotonic clock */
static int raw_now(lua_State *L) {
  lua_pushnumber(L, now());
  return 1;
}

/* fork_wait(n) -> seconds for n times fork, _exit and waitpid */
static int raw_fork_wait(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  double began = now();
  for (lua_Integer i = 0; i < n; i++) {
    pid_t pid = partner(L);
    if (pid == 0) _exit(0);
    waitpid(pid, NULL, 0);
  }
  lua_pushnumber(L, now() - began);
  return 1;
}

typedef struct {
  _Alignas(LINE) _Atomic uint32_t ping;
  _Alignas(LINE) _Atomic uint32_t pong;
} pair;

static void await(_Atomic uint32_t *word, uint32_t value, bool spin) {
  unsigned spins = 0;
  uint32_t seen;
  while ((seen = atomic_load_explicit(word, memory_order_acquire)) != value) {
    if (spin)
      pause_once(&spins);
    else
      syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
  }
}

static void say(_Atomic uint32_t *word, uint32_t value, bool spin) {
  atomic_store_explicit(word, value, memory_order_release);
  if (!spin) syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* round_trip(n, spin) -> seconds for n round trips of one word */
static int raw_round_trip(lua_State *L) {
  uint32_t n = (uint32_t)luaL_checkinteger(L, 1);
  bool spin = lua_toboolean(L, 2);
  pair *t = share(L, sizeof *t);
  pid_t pid = partner(L);
  if (pid == 0) {
    for (uint32_t i = 1; i <= n; i++) {
      await(&t->ping, i, spin);
      say(&t->pong, i, spin);
    }
    _exit(0);
  }
  double began = now();
  for (uint32_t i = 1; i <= n; i++) {
    say(&t->ping, i, spin);
    await(&t->pong, i, spin);
  }
  lua_pushnumber(L, now() - began);
  waitpid(pid, NULL, 0);
  munmap(t, sizeof *t);
  return 1;
}

/* A ring for one producer and one consumer: slots of `size` bytes, positions that only grow. */
typedef struct {
  _Alignas(LINE) _Atomic uint64_t tail; /* written by the producer */
  _Alignas(LINE) _Atomic uint64_t head; /* written by the consumer */
  _Alignas(LINE) _Atomic uint32_t go;
  _Alignas(LINE) char slots[];
} ring;

static void produce(ring *r, const char *from, size_t size, uint64_t slots, uint64_t count) {
  uint64_t head = 0;
  for (uint64_t i = 0; i < count; i++) {
    unsigned spins = 0;
    while (i - head >= slots) {
      head = atomic_load_explicit(&r->head, memory_order_acquire);
      if (i - head >= slots) pause_once(&spins);
    }
    memcpy(r->slots + i % slots * size, from, size);
    atomic_store_explicit(&r->tail, i + 1, memory_order_release);
  }
}

static void consume(ring *r, char *to, size_t size, uint64_t slots, uint64_t count) {
  uint64_t tail = 0;
  for (uint64_t i = 0; i < count; i++) {
    unsigned spins = 0;
    while (tail <= i) {
      tail = atomic_load_explicit(&r->tail, memory_order_acquire);
      if (tail <= i) pause_once(&spins);
    }
    memcpy(to, r->slots + i % slots * size, size);
    atomic_store_explicit(&r->head, i + 1, memory_order_release);
  }
}

/* stream(size, count, slots) -> seconds for count messages of size bytes, copied in and copied out */
static int raw_stream(lua_State *L) {
  size_t size = (size_t)luaL_checkinteger(L, 1);
  uint64_t count = (uint64_t)luaL_checkinteger(L, 2);
  uint64_t slots = (uint64_t)luaL_checkinteger(L, 3);
  char *buffer = lua_newuserdatauv(L, size, 0);
  memset(buffer, 'x', size);
  size_t bytes = sizeof(ring) + size * slots;
  ring *r = share(L, bytes);
  memset(r->slots, 0, size * slots);
  pid_t pid = partner(L);
  if (pid == 0) {
    await(&r->go, 1, true);
    produce(r, buffer, size, slots, count);
    _exit(0);
  }
  double began = now();
  say(&r->go, 1, true);
  consume(r, buffer, size, slots, count);
  lua_pushnumber(L, now() - began);
  waitpid(pid, NULL, 0);
  munmap(r, bytes);
  return 1;
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* A field that a C function finds, as `value` of a Value is. */
static int one(lua_State *L) {
  lua_pushinteger(L, 1);
  return 1;
}

static void push_object(lua_State *L, bool indexed) {
  static const luaL_Reg methods[] = {{"first", nothing}, {"second", nothing}, {NULL, NULL}};
  lua_newuserdatauv(L, 1, 0);
  lua_createtable(L, 0, 1);
  if (indexed)
    lua_pushcfunction(L, one);
  else
    luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

/* objects() -> an object whose methods do nothing, and one whose fields are all 1: what a call costs at least */
static int raw_objects(lua_State *L) {
  push_object(L, false);
  push_object(L, true);
  return 2;
}

static const luaL_Reg functions[] = {
    {"one_cpu", raw_one_cpu},
    {"now", raw_now},
    {"fork_wait", raw_fork_wait},
    {"round_trip", raw_round_trip},
    {"stream", raw_stream},
    {"objects", raw_objects},
    {NULL, NULL},
};

int luaopen_raw(lua_State *L);
int luaopen_raw(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
