/* SPDX-License-Identifier: MIT */
/*
 * A Lua module for specs: what the program round mproc, or a library in it, may do to a process behind its back.
 * Nothing here knows mproc.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <lua.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((visibility("default"))) int luaopen_hostile(lua_State *L);

enum { MICROSECONDS = 1000000, MOST_WORDS = 64 };

static volatile sig_atomic_t caught;

static void note(int sig) {
  (void)sig;
  caught++;
}

/* nil, message, errno for -1, else the number */
static int number_or_errno(lua_State *L, long n) {
  if (n >= 0) {
    lua_pushinteger(L, n);
    return 1;
  }
  int err = errno;
  lua_pushnil(L);
  lua_pushstring(L, strerror(err));
  lua_pushinteger(L, err);
  return 3;
}

/* storm(hz) -> how many came since the last call. SIGALRM that often, caught by a handler that does not restart system
 * calls; 0 ends it. A fork inherits the handler, not the timer. */
static int hostile_storm(lua_State *L) {
  lua_Integer hz = luaL_checkinteger(L, 1);
  struct sigaction a = {.sa_handler = note};
  long period = hz > 0 ? MICROSECONDS / (long)hz : 0;
  struct itimerval every = {{0, period}, {0, period}};
  sigaction(SIGALRM, &a, NULL);
  setitimer(ITIMER_REAL, &every, NULL);
  lua_pushinteger(L, caught);
  caught = 0;
  return 1;
}

static int told[2] = {-1, -1}; /* a pipe, as that of an event loop's signal handler */

static void tell(int sig) {
  char byte = (char)sig;
  if (write(told[1], &byte, 1) != 1) _exit(1);
}

/* caught() -> how many came so far */
static int hostile_caught(lua_State *L) {
  lua_pushinteger(L, caught);
  return 1;
}

/* handle(signal): with a handler that counts what comes to this process and to those that share its pipe */
static int hostile_handle(lua_State *L) {
  if (told[0] < 0 && pipe(told) != 0) return number_or_errno(L, -1);
  signal((int)luaL_checkinteger(L, 1), tell);
  return 0;
}

/* told() -> how many signals the handler was called for, in whatever process */
static int hostile_told(lua_State *L) {
  int n = 0;
  ioctl(told[0], FIONREAD, &n);
  lua_pushinteger(L, n);
  return 1;
}

/* chroot(path): and the directory is its root */
static int hostile_chroot(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  return number_or_errno(L, chroot(path) == 0 ? chdir("/") : -1);
}

/* ignore(signal) */
static int hostile_ignore(lua_State *L) {
  signal((int)luaL_checkinteger(L, 1), SIG_IGN);
  return 0;
}

/* kill(pid, signal) */
static int hostile_kill(lua_State *L) {
  return number_or_errno(L, kill((pid_t)luaL_checkinteger(L, 1), (int)luaL_checkinteger(L, 2)));
}

static void *hold_stdout(void *ready) {
  flockfile(stdout);
  sem_post(ready);
  for (;;) pause();
  return NULL;
}

/* hold_stdout(): a thread has stdout locked from now on */
static int hostile_hold_stdout(lua_State *L) {
  (void)L;
  static sem_t ready;
  pthread_t thread;
  sem_init(&ready, 0, 0);
  if (pthread_create(&thread, NULL, hold_stdout, &ready) != 0) return luaL_error(L, "no thread");
  sem_wait(&ready);
  return 0;
}

/* fork() -> 0 in the child, else the pid */
static int hostile_fork(lua_State *L) { return number_or_errno(L, fork()); }

/* exit(code): at once, without any handler */
static int hostile_exit(lua_State *L) { _exit((int)luaL_checkinteger(L, 1)); }

/* reap([pid = any]) -> the pid of a child whose status this has taken; waits for one */
static int hostile_reap(lua_State *L) {
  pid_t got;
  do {
    got = waitpid((pid_t)luaL_optinteger(L, 1, -1), NULL, 0);
  } while (got < 0 && errno == EINTR);
  return number_or_errno(L, got);
}

/* exec(word, ...): only returns when it fails */
static int hostile_exec(lua_State *L) {
  char *words[MOST_WORDS + 1];
  int n = lua_gettop(L);
  luaL_argcheck(L, n > 0 && n <= MOST_WORDS, 1, "a command");
  for (int i = 0; i < n; i++) words[i] = (char *)(uintptr_t)luaL_checkstring(L, i + 1);
  words[n] = NULL;
  return number_or_errno(L, execvp(words[0], words));
}

/* files(soft): RLIMIT_NOFILE of this process */
static int hostile_files(lua_State *L) {
  struct rlimit r;
  getrlimit(RLIMIT_NOFILE, &r);
  r.rlim_cur = (rlim_t)luaL_checkinteger(L, 1);
  return number_or_errno(L, setrlimit(RLIMIT_NOFILE, &r));
}

static const struct {
  const char *name;
  unsigned number;
} calls[] = {
    {"memfd_create", SYS_memfd_create},
    {"get_robust_list", SYS_get_robust_list},
    {"mmap", SYS_mmap},
    {"openat", SYS_openat},
    {"getrandom", SYS_getrandom},
    {"linkat", SYS_linkat},
    {"pidfd_open", SYS_pidfd_open},
    {"pidfd_send_signal", SYS_pidfd_send_signal},
};

static unsigned number_of_call(lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (strcmp(name, calls[i].name) == 0) return calls[i].number;
  return (unsigned)luaL_argerror(L, arg, "no such call here");
}

/* deny(errno, call, ...): those system calls fail with it, in this process and those forked from now on (seccomp) */
static int hostile_deny(lua_State *L) {
  unsigned short err = (unsigned short)luaL_checkinteger(L, 1);
  for (int i = 2; i <= lua_gettop(L); i++) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number_of_call(L, i), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      return number_or_errno(L, -1);
  }
  return number_or_errno(L, 0);
}

/* close(fd) */
static int hostile_close(lua_State *L) { return number_or_errno(L, close((int)luaL_checkinteger(L, 1))); }

/* pipe(): its ends, the reader's first */
static int hostile_pipe(lua_State *L) {
  int ends[2];
  if (pipe(ends) != 0) return luaL_error(L, "pipe: %s", strerror(errno));
  lua_pushinteger(L, ends[0]);
  lua_pushinteger(L, ends[1]);
  return 2;
}

/* write(fd, bytes), read(fd): the next byte */
static int hostile_write(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 2, &n);
  return number_or_errno(L, write((int)luaL_checkinteger(L, 1), bytes, n));
}

static int hostile_read(lua_State *L) {
  char byte;
  if (read((int)luaL_checkinteger(L, 1), &byte, 1) != 1) return 0;
  lua_pushlstring(L, &byte, 1);
  return 1;
}

/* random(): whether the C library has random bytes, which newer kernels give to it without a system call */
static int hostile_random(lua_State *L) {
  char byte;
  lua_pushboolean(L, getrandom(&byte, 1, 0) == 1);
  return 1;
}

/* is_open(fd) */
static int hostile_is_open(lua_State *L) {
  lua_pushboolean(L, fcntl((int)luaL_checkinteger(L, 1), F_GETFD) >= 0);
  return 1;
}

static const luaL_Reg functions[] = {
    {"deny", hostile_deny},
    {"close", hostile_close},
    {"is_open", hostile_is_open},
    {"pipe", hostile_pipe},
    {"write", hostile_write},
    {"read", hostile_read},
    {"random", hostile_random},
    {"storm", hostile_storm},
    {"caught", hostile_caught},
    {"ignore", hostile_ignore},
    {"handle", hostile_handle},
    {"told", hostile_told},
    {"chroot", hostile_chroot},
    {"kill", hostile_kill},
    {"fork", hostile_fork},
    {"exit", hostile_exit},
    {"reap", hostile_reap},
    {"exec", hostile_exec},
    {"files", hostile_files},
    {"hold_stdout", hostile_hold_stdout},
    {NULL, NULL},
};

int luaopen_hostile(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
