/* SPDX-License-Identifier: MIT */
/*
 * System calls behind one header (layer 0). Anyone may call it; it knows neither Lua nor the arena.
 * Invariant: functions return 0 or -errno (or what their contract says) and never touch errno's meaning
 * for the caller; times are nanoseconds on the monotonic clock; a deadline is such a time, MP_FOREVER or 0.
 */
#ifndef MP_OS_OS_H
#define MP_OS_OS_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

/* Thread-local storage that costs no call. glibc keeps room for it in libraries loaded late, musl does not. */
#if defined(__GLIBC__)
#define MP_OS_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define MP_OS_THREAD_LOCAL _Thread_local
#endif

/* A large array, not static, that costs nothing until touched. It lies behind all small variables, on pages of its own,
 * and has these begin on a page, which they so share: what a process writes after a fork is copied page by page. */
#define MP_BSS_TAIL __attribute__((common, aligned(4096), visibility("hidden")))

/* A variable of this process, as against what lies in shared memory. In a build for TSan (`make tsan`), which sees threads
 * and not processes, each thread plays a process and has its own. */
#if defined(MP_THREADS)
#define MP_PROCESS_LOCAL _Thread_local
#define MP_PROCESS_LOCAL_LARGE _Thread_local
enum { MP_OS_THREADS = 1 };
#else
#define MP_PROCESS_LOCAL
#define MP_PROCESS_LOCAL_LARGE MP_BSS_TAIL
enum { MP_OS_THREADS = 0 };
#endif

/* What a child runs on its way to its target and out again: side by side, for it pays for each stretch of code it touches. */
#define MP_HOT_AFTER_FORK __attribute__((hot))

/* What happens seldom: kept out of line, and out of the way of what happens each time. */
#define MP_SELDOM __attribute__((cold, noinline))

#define MP_FOREVER UINT64_MAX
#define MP_MS UINT64_C(1000000)

/* clock.c */
uint64_t mp_os_now(void);
/* The same clock as of its last tick, some milliseconds behind: for a quarter of the time. */
uint64_t mp_os_coarse_now(void);
/* Absolute deadline for a relative number of seconds: <= 0 gives 0 (do not wait), overlong gives MP_FOREVER. */
uint64_t mp_os_deadline(double seconds);
/* That number in nanoseconds: 0, MP_FOREVER, or at most some centuries. */
uint64_t mp_os_duration(double seconds);
/* Sleeps until the deadline or a signal: 0 or -EINTR. */
int mp_os_sleep(uint64_t deadline);

/* mutex.c: robust process-shared mutexes. The owner is an OS thread; its death releases them. */
typedef pthread_mutex_t mp_os_mutex;
enum { MP_LOCKED = 0, MP_ABANDONED = 1 };
/* robust: it dies with its owner, and the next one learns that. */
int mp_os_mutex_init(mp_os_mutex *m, bool robust);
/* MP_LOCKED, MP_ABANDONED (locked; the last owner died holding it; call _consistent before unlock), -EBUSY. */
static inline int mp_os_mutex_try(mp_os_mutex *m) {
  int err = pthread_mutex_trylock(m);
  return err == EOWNERDEAD ? MP_ABANDONED : -err;
}
/* The same, waiting until the deadline: -ETIMEDOUT. Signals do not end it: callers wait in slices. */
int mp_os_mutex_until(mp_os_mutex *m, uint64_t deadline);
void mp_os_mutex_consistent(mp_os_mutex *m);
static inline void mp_os_mutex_unlock(mp_os_mutex *m) { pthread_mutex_unlock(m); }
/* Where the lock's word is; musl has it as the second int. */
static inline const int *mp_os_mutex_word_of(const mp_os_mutex *m) {
#if defined(__GLIBC__)
  return &m->__data.__lock;
#else
  return &((const int *)(const void *)m)[1];
#endif
}
/* The kernel lets go of a dead thread's mutexes: who finds one free, or abandoned, comes after all that its holder did. TSan
 * does not see the kernel; in a build for it a thread says that it dies, and who looks at the word learns that. */
#if defined(MP_THREADS)
extern __attribute__((visibility("default"))) void __tsan_acquire(void *);
extern __attribute__((visibility("default"))) void __tsan_release(void *);
static inline void mp_os_mutex_holder_dies(mp_os_mutex *m) { __tsan_release(m); }
static inline void mp_os_mutex_after_holder(const mp_os_mutex *m) { __tsan_acquire((void *)(uintptr_t)m); }
#else
static inline void mp_os_mutex_after_holder(const mp_os_mutex *m) { (void)m; }
#endif
static inline uint32_t mp_os_mutex_word(const mp_os_mutex *m) {
  uint32_t word = (uint32_t)__atomic_load_n(mp_os_mutex_word_of(m), __ATOMIC_ACQUIRE);
  mp_os_mutex_after_holder(m);
  return word;
}
/* What must be the same for two programs that look into one mutex: its size, which goes with that of addresses, and where its
 * word is. */
#if defined(__GLIBC__)
#define MP_OS_MUTEX_LAYOUT ((uint32_t)sizeof(mp_os_mutex))
#else
#define MP_OS_MUTEX_LAYOUT ((uint32_t)sizeof(mp_os_mutex) | 4u << 8)
#endif
#define MP_OS_OWNER 0x3fffffffu
/* The id of the thread that holds it, or 0. */
static inline uint32_t mp_os_mutex_owner(const mp_os_mutex *m) { return mp_os_mutex_word(m) & MP_OS_OWNER; }
extern MP_PROCESS_LOCAL uint32_t mp_os_tid; /* of the thread that attached (mp_os_pending_attach) */
/* One load: true while the thread that attached holds it. */
static inline bool mp_os_mutex_mine(const mp_os_mutex *m) { return mp_os_mutex_owner(m) == mp_os_tid; }
/* One load: true while a living thread holds it. */
static inline bool mp_os_mutex_held(const mp_os_mutex *m) { return mp_os_mutex_owner(m) != 0; }
/* One load: true when its last owner died holding it and nobody has taken it since. */
bool mp_os_mutex_abandoned(const mp_os_mutex *m);

/* futex.c */
int mp_os_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline); /* 0 -EAGAIN -EINTR -ETIMEDOUT */
void mp_os_futex_wake(_Atomic uint32_t *word, int n);
/* The kernel's list of the robust mutexes that a thread holds: by the system's own layout, for not every C library comes
 * with the system's headers. */
typedef struct mp_os_robust_entry {
  struct mp_os_robust_entry *next; /* the head's own address: it is the last one */
} mp_os_robust_entry;
typedef struct mp_os_robust_list {
  mp_os_robust_entry first;
  long futex_offset; /* from an entry to its mutex's word */
  mp_os_robust_entry *pending;
} mp_os_robust_list;
/* Whether the kernel keeps such lists, and tells: 0, or -errno. Without them a killed holder's locks stay taken. */
int mp_os_robust_check(void);
/* Learns this thread's id and where its robust list is. Again after fork. mine: a mutex that this thread holds. */
void mp_os_pending_attach(const mp_os_mutex *mine);
/* Before a fork by this thread, and first of all in the child, which holds nothing that its parent holds: its list is empty.
 * glibc sees to that; musl leaves it the parent's, and what the child locks would be chained into what the parent holds. */
void mp_os_pending_before_fork(void);
void mp_os_pending_forked(void);
/* Names a word (its low 30 bits are 0) on which the kernel wakes one waiter if this thread is killed; NULL clears.
 * Must not span a mutex call: those use the same slot. */
extern MP_PROCESS_LOCAL mp_os_robust_list *mp_os_robust;
static inline void mp_os_pending(_Atomic uint32_t *word) {
  mp_os_robust_list *h = mp_os_robust;
  if (!h) return;
  char *cell = word ? (char *)(void *)word - h->futex_offset : NULL;
  *(mp_os_robust_entry *volatile *)&h->pending = (mp_os_robust_entry *)(void *)cell;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static inline void mp_os_pause(void);
/* All 128 bits of a product: the low half, and the high one in *high. */
static inline uint64_t mp_os_product(uint64_t a, uint64_t b, uint64_t *high) {
#if defined(__SIZEOF_INT128__)
  unsigned __int128 p = (unsigned __int128)a * b;
  *high = (uint64_t)(p >> 64);
  return (uint64_t)p;
#else
  uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
  uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32_t)middle;
  *high = a1 * b1 + (middle >> 32) + (other >> 32);
  return a * b;
#endif
}
/* A full fence behind an atomic read-modify-write of the caller's, or a sequentially consistent store: x86 has had it with that. */
static inline void mp_os_fence_after_rmw(void) {
#if defined(__x86_64__) || defined(__i386__)
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Round copies of many words, by relaxed accesses or memcpy, from or to memory that others use meanwhile. What this process has
 * loaded or stored before stands before the copy, and what it stores afterwards, behind it; so do later loads, if the copy
 * was one of loads. On x86, whose atomic stores are fences and whose other accesses keep these orders, neither is an
 * instruction. */
static inline void mp_os_bulk_begin(void) { mp_os_fence_after_rmw(); }
static inline void mp_os_bulk_end(void) { __atomic_thread_fence(__ATOMIC_ACQ_REL); }

/* memory.c */
/* Maps a nameless, sparse, shared area (sealed where memfd_create is allowed) of about *size bytes (halved until the system grants it,
 * down to floor); NULL and -errno in *err otherwise. *size says what was granted. */
void *mp_os_map(size_t *size, size_t floor, int *err);
/* The descriptor that is kept of that area: read-only, close-on-exec, from 40 up if there is room; -1: none. A program that
 * has closed all its descriptors may have another file there. */
int mp_os_map_descriptor(void);
/* Another descriptor of it, open for writing and close-on-exec, for a process that is no fork of ours. -EBADF: none is kept,
 * for there is no file, or no /proc, or it was closed; -errno. */
int mp_os_map_writable(void);
/* In such a process: maps it, at whatever address, and keeps a descriptor. fd stays the caller's. NULL and -errno in *err. */
void *mp_os_map_given(int fd, size_t *size, int *err);

/* Gives the pages of [p, p+n) back to the system; they read as zero afterwards. */
void mp_os_release(void *p, size_t n);
/* Zeroes [p, p+n) of the shared area: a long range by giving its pages back, so that none is touched. */
void mp_os_zero(void *p, size_t n);

/* descriptor.c */
/* What a system call has returned for a new descriptor: the same one, or a copy above 2 in its place; -errno for -1. */
int mp_os_descriptor(int fd);
/* Moves it to where programs count on none, 40 or above, close-on-exec, where mp_os_close_fds spares it. The new one, or -errno. */
int mp_os_descriptor_keep(int fd);
int mp_os_descriptor_kept(int i); /* the ith of those, ascending; -1: there are no more */
void mp_os_close(int fd);

/* pages.c: memory of this process's own by pages, zero at first */
/* align: a power of two. NULL: the system grants none. */
void *mp_os_pages_take(size_t n, size_t align);
/* The same pages in its forks, so that a fork copies nothing for them, be it only a table. */
void *mp_os_pages_take_shared(size_t n);
void mp_os_pages_give(void *p, size_t n);
/* Whole pages for n bytes; less than n when that overflows. */
size_t mp_os_pages_round(size_t n);
/* Whether it could be made to have n bytes without moving. */
bool mp_os_pages_resize(void *p, size_t old, size_t n);
/* Moves pages, without copying, to what was taken there. False when the system refuses: then `to` may be gone. */
bool mp_os_pages_move(void *p, size_t old, void *to, size_t n);

/* sysinfo.c: facts about this process */
uint64_t mp_os_pid_namespace(void);
int mp_os_cpu_usable(void); /* CPUs in the affinity mask, at least 1 */
int mp_os_threads(void);    /* of this process; 0 when /proc does not tell */

#if defined(__x86_64__) || defined(__i386__)
static inline void mp_os_pause(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
static inline void mp_os_pause(void) { __asm__ volatile("isb" ::: "memory"); }
#else
static inline void mp_os_pause(void) { __asm__ volatile("" ::: "memory"); }
#endif

#pragma GCC visibility pop
#endif
