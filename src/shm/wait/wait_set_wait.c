/* SPDX-License-Identifier: MIT */
/*
 * Waiting for many things at once: look at all; then, with every wait queue armed on one wake pipe, look again and poll the
 * pipe, the descriptors and the ends of processes, a slice at a time.
 */
#include <errno.h>

#include "os/process.h"
#include "shm/arena/monitor.h"
#include "shm/wait/wait_set.h"

enum { NO_FD = -1, SPIN_MOST = 16 /* sources; looking at more takes as long as sleeping */ };

typedef struct vigil {
  mp_shm_wait_source *s;
  size_t n;
  mp_os_pollfd *fds; /* of the sources that have one, in their order; then the pipe */
  size_t nfds;       /* without the pipe */
  int pipe;
  bool armed; /* every wait queue has been, and no wake has come since */
} vigil;

static void list_fds(vigil *v) {
  v->nfds = 0;
  for (size_t i = 0; i < v->n; i++)
    if (v->s[i].fd != NO_FD) v->fds[v->nfds++] = (mp_os_pollfd){v->s[i].fd, POLLIN, 0};
  v->fds[v->nfds] = (mp_os_pollfd){v->pipe, POLLIN, 0};
}

/* --- one look --- */

/* Where none has been woken since, a look at each is enough: a waker that has seen it armed, and disarms it later, wakes us
 * between. */
static void arm(vigil *v) {
  if (v->pipe == NO_FD) return;
  for (size_t i = 0; i < v->n; i++) {
    mp_shm_wait_queue *b = v->s[i].wait_queue;
    if (b && !(v->armed && mp_shm_wait_set_is_armed(b))) mp_shm_wait_set_arm(b);
  }
  v->armed = true;
  mp_shm_wait_set_armed();
}

static int look(vigil *v) {
  int found = 0;
  for (size_t i = 0; i < v->n; i++) found += v->s[i].found = v->s[i].ready && v->s[i].ready(v->s[i].arg);
  return found;
}

/* How many more the descriptors show, or -EBADF. */
static int note_fds(vigil *v) {
  int more = 0, bad = 0;
  const mp_os_pollfd *p = v->fds;
  for (mp_shm_wait_source *s = v->s; s < v->s + v->n; s++) {
    if (s->fd == NO_FD) continue;
    short shown = p++->revents;
    if (shown & POLLNVAL) bad = s->found = -EBADF;
    if (!shown || s->found) continue;
    s->found = 1;
    more++;
  }
  return bad ? bad : more;
}

/* How many are ready by `until`; -ETIMEDOUT; -EAGAIN: a wait queue was woken; -EINTR, -EBADF, or what poll says. */
static int pass(vigil *v, uint64_t until) {
  if (!MP_MUTANT(LOOK)) arm(v);
  int found = look(v);
  if (MP_MUTANT(LOOK)) arm(v);
  int shown = mp_os_poll_many(v->fds, v->nfds + (v->pipe != NO_FD), found ? 0 : until);
  if (shown <= 0) return found ? found : shown ? shown : -ETIMEDOUT;
  if (v->pipe != NO_FD && v->fds[v->nfds].revents) {
    v->armed = false;
    mp_os_wake_drain(v->pipe);
  }
  int more = note_fds(v);
  if (more < 0) return more;
  return found + more ? found + more : -EAGAIN;
}

/* --- going to sleep and back --- */

static void open_pidfds(vigil *v) {
  for (mp_shm_wait_source *s = v->s; s < v->s + v->n; s++) {
    int fd = s->pid ? mp_os_pidfd(s->pid) : NO_FD;
    if (fd >= 0) s->fd = fd;
  }
}

static void close_pidfds(vigil *v) {
  for (mp_shm_wait_source *s = v->s; s < v->s + v->n; s++) {
    if (!s->pid || s->fd == NO_FD) continue;
    mp_os_close(s->fd);
    s->fd = NO_FD;
  }
}

static uint32_t count_wait_queues(const vigil *v) {
  uint32_t n = 0;
  for (size_t i = 0; i < v->n; i++) n += v->s[i].wait_queue != NULL;
  return n;
}

static void enter_wait_queues(vigil *v, uint64_t inode) {
  uint32_t at = mp_shm_wait_set_kept;
  for (size_t i = 0; i < v->n; i++)
    if (v->s[i].wait_queue) mp_shm_wait_set_put(at++, v->s[i].wait_queue, v->pipe, inode);
  mp_shm_wait_set_count(at);
}

/* Without descriptors or memory for it, slices must do. */
static void observe_wait_queues(vigil *v) {
  uint64_t inode;
  uint32_t n = count_wait_queues(v);
  if (!n || !mp_shm_wait_set_reserve(mp_shm_wait_set_kept + n)) return;
  int pipe = mp_os_wake_open(&inode);
  if (pipe < 0) return;
  v->pipe = pipe;
  enter_wait_queues(v, inode);
}

static void begin(vigil *v) {
  open_pidfds(v);
  observe_wait_queues(v);
  list_fds(v);
}

static void end(vigil *v) {
  mp_shm_wait_set_count(mp_shm_wait_set_kept);
  mp_shm_wait_set_release();
  if (v->pipe != NO_FD) mp_os_close(v->pipe);
  close_pidfds(v);
}

/* --- waiting --- */

static bool any_ready(void *arg) {
  const vigil *v = arg;
  for (size_t i = 0; i < v->n; i++)
    if (v->s[i].ready(v->s[i].arg)) return true;
  return false;
}

/* Only what is in memory can be looked at so often. */
static bool spin(vigil *v) {
  if (!v->n || v->n > SPIN_MOST || count_wait_queues(v) < v->n) return false;
  return mp_shm_wait_queue_spin(any_ready, v);
}

static bool is_nothing(int r) { return r == -EAGAIN || r == -ETIMEDOUT || r == -EINTR; }

/* A slice at most: 0: nothing yet; how many are ready; or an error. */
static int sleep_once(vigil *v, uint64_t *slice, const mp_shm_wait *w) {
  int r = pass(v, mp_shm_wait_longer(w, slice, MP_SLICE_LOOKING));
  if (is_nothing(r)) mp_shm_wait_queue_woke(r);
  if (r == -EAGAIN || !is_nothing(r)) return r == -EAGAIN ? 0 : r;
  int over = mp_shm_wait_check(w);
  int found = over == -ETIMEDOUT ? look(v) : 0;
  return found ? found : over;
}

/* For viewers: the first object of those waited for. */
static uint64_t waits_of(const vigil *v) {
  size_t i = 0;
  while (i < v->n && !v->s[i].wait_queue) i++;
  return MP_WAITS(MP_WAITS_MANY, i < v->n ? mp_shm_offset(v->s[i].wait_queue) : 0);
}

static int sleep_until(vigil *v, const mp_shm_wait *w) {
  int r;
  uint64_t slice = MP_SLICE;
  begin(v);
  mp_shm_wait_queue_asleep(waits_of(v));
  do r = sleep_once(v, &slice, w);
  while (r == 0);
  mp_shm_wait_queue_awake();
  end(v);
  return r;
}

/* Their descriptors, if they have any, are not readable any more when nothing is there. */
static void look_for_loops(const vigil *v) {
  for (size_t i = 0; i < v->n && mp_shm_wait_set_fds; i++)
    if (v->s[i].wait_queue) mp_shm_wait_set_look(v->s[i].wait_queue);
}

int mp_shm_wait_set_wait(mp_shm_wait_source *s, size_t n, mp_os_pollfd *fds, const mp_shm_wait *w) {
  vigil v = {s, n, fds, 0, NO_FD, false};
  look_for_loops(&v);
  list_fds(&v);
  int r = pass(&v, 0);
  if (!is_nothing(r)) return r;
  r = mp_shm_wait_check(w);
  if (r) return r;
  if (spin(&v)) r = pass(&v, 0);
  return r > 0 ? r : sleep_until(&v, w);
}
