/* SPDX-License-Identifier: MIT */
/*
 * Descriptors for the event loops of others. Each is a set (epoll) of a wake pipe of its own, which is poked when its
 * object may have become ready, and a timer, because a poke may be lost. All state is this process's alone.
 *
 * A descriptor is armed, or its pipe has been poked since it was last looked at: so it is readable whenever its object is
 * ready, but for a wake that was lost. Those are looked for once a slice, at all objects, by whatever call looks at one of
 * them (a beat). To make such a call come, the `beat` timer is in the set of one descriptor, the sentry's; should its
 * loop not serve it in time, `alarm`, which is in all sets, makes them all readable, and who is served first is the next
 * sentry. So an idle loop is woken once a slice, however many descriptors it has.
 */
#include <errno.h>

#include "os/process.h"
#include "shm/wait/wait_set.h"

enum { NO_FD = -1, MOST = 1 << 16, NOBODY = MOST };

typedef struct place {
  mp_shm_wait_source of; /* wait queue NULL: free */
  uint64_t inode;
  uint32_t slot; /* the object's */
  int set, pipe;
  bool listed; /* in the table of observes, at the place's own index */
} place;

MP_BSS_TAIL place mp_shm_wait_set_places[MOST];
static place *const places = mp_shm_wait_set_places; /* those below mp_shm_wait_set_kept may be in use */
MP_PROCESS_LOCAL uint32_t mp_shm_wait_set_fds;
static int beat_fd = NO_FD, alarm_fd = NO_FD;
static uint32_t sentry = NOBODY;
static uint64_t due; /* the next beat */

static bool is_used(const place *p) { return p->of.wait_queue != NULL; }
static bool is_ready(const place *p) { return p->of.ready(p->of.arg); }

/* --- looking --- */

static void list_it(uint32_t i) {
  place *p = &places[i];
  if (p->listed || !mp_shm_wait_set_reserve(mp_shm_wait_set_kept)) return;
  mp_shm_wait_set_put(i, p->of.wait_queue, p->pipe, p->inode);
  mp_shm_wait_set_count(mp_shm_wait_set_kept);
  p->listed = true;
}

static void arm(uint32_t i) {
  list_it(i);
  mp_shm_wait_set_arm(places[i].of.wait_queue);
}

/* It was not ready: not readable from now on, until it is. */
static void rest(uint32_t i) {
  mp_os_wake_drain(places[i].pipe);
  arm(i);
  mp_shm_wait_set_armed();
  if (is_ready(&places[i]) && !MP_MUTANT(LOOK)) mp_os_wake_self(places[i].pipe);
}

static void make_sentry(uint32_t i) {
  if (sentry == i) return;
  if (sentry != NOBODY) mp_os_set_remove(places[sentry].set, beat_fd);
  sentry = mp_os_set_add(places[i].set, beat_fd) == 0 ? i : NOBODY;
}

static void set_timers(uint64_t when) {
  due = when;
  mp_os_timer_set(beat_fd, due);
  mp_os_timer_set(alarm_fd, due + MP_SLICE);
}

static void beat(uint32_t served) {
  uint64_t now = mp_os_now();
  if (now < due) return;
  if (now >= due + MP_SLICE) make_sentry(served);
  set_timers(now + MP_SLICE);
  mp_shm_sweep();
  for (uint32_t i = 0; i < mp_shm_wait_set_kept; i++)
    if (is_used(&places[i])) arm(i);
  mp_shm_wait_set_armed();
  for (uint32_t i = 0; i < mp_shm_wait_set_kept; i++)
    if (is_used(&places[i]) && is_ready(&places[i])) mp_os_wake_self(places[i].pipe);
}

void mp_shm_wait_set_look_slowly(mp_shm_wait_queue *b) {
  for (uint32_t i = 0; i < mp_shm_wait_set_kept; i++) {
    if (places[i].of.wait_queue != b) continue;
    if (!is_ready(&places[i])) rest(i);
    beat(i);
    return;
  }
}

/* --- opening and closing --- */

static int keep_fd(int fd, int *where) {
  *where = fd < 0 ? NO_FD : fd;
  return fd < 0 ? fd : 0;
}

static void close_fd(int *fd) {
  if (*fd != NO_FD) mp_os_close(*fd);
  *fd = NO_FD;
}

static int open_timers(void) {
  int err = beat_fd == NO_FD ? keep_fd(mp_os_timer_open(), &beat_fd) : 0;
  if (!err && alarm_fd == NO_FD) err = keep_fd(mp_os_timer_open(), &alarm_fd);
  return err;
}

static void close_timers(void) {
  close_fd(&beat_fd);
  close_fd(&alarm_fd);
  sentry = NOBODY;
}

static int open_fds(place *p) {
  int err = keep_fd(mp_os_set_open(), &p->set);
  if (!err) err = keep_fd(mp_os_wake_open(&p->inode), &p->pipe);
  if (!err) err = mp_os_set_add(p->set, p->pipe);
  if (!err) err = mp_os_set_add(p->set, alarm_fd);
  return err;
}

static void close_fds(place *p) {
  close_fd(&p->set);
  close_fd(&p->pipe);
}

/* The last one is gone. */
static void close_all(void) {
  close_timers();
  mp_shm_wait_set_kept = 0;
  mp_shm_wait_set_count(0);
  mp_shm_wait_set_release();
}

static int64_t free_place(void) {
  uint32_t i = 0;
  while (i < mp_shm_wait_set_kept && is_used(&places[i])) i++;
  return i < MOST ? (int64_t)i : -EMFILE;
}

static void take_place(uint32_t i, const place *p) {
  places[i] = *p;
  mp_shm_wait_set_fds++;
  if (i >= mp_shm_wait_set_kept) mp_shm_wait_set_kept = i + 1;
  if (mp_shm_wait_set_fds == 1) {
    make_sentry(i);
    set_timers(mp_os_now() + MP_SLICE);
  }
  rest(i);
}

static void leave_place(uint32_t i) {
  if (places[i].listed) mp_shm_wait_set_put(i, NULL, NO_FD, 0);
  close_fds(&places[i]);
  places[i].of.wait_queue = NULL;
  if (sentry == i) sentry = NOBODY;
  if (--mp_shm_wait_set_fds == 0) close_all();
}

static int make(mp_shm_handle h, const mp_shm_wait_source *s) {
  int64_t i = free_place();
  if (i < 0) return (int)i;
  place p = {.of = *s, .slot = (uint32_t)h & MP_SLOT_MASK, .set = NO_FD, .pipe = NO_FD};
  int err = open_timers();
  if (!err) err = open_fds(&p);
  if (err) {
    close_fds(&p);
    if (!mp_shm_wait_set_fds) close_timers();
    return err;
  }
  take_place((uint32_t)i, &p);
  return p.set;
}

int mp_shm_wait_set_fd(mp_shm_handle h, const mp_shm_wait_source *s) {
  for (uint32_t i = 0; i < mp_shm_wait_set_kept; i++)
    if (places[i].of.wait_queue == s->wait_queue) return places[i].set;
  return make(h, s);
}

void mp_shm_wait_set_last_use(uint32_t slot) {
  for (uint32_t i = 0; i < mp_shm_wait_set_kept; i++)
    if (is_used(&places[i]) && places[i].slot == slot + 1) leave_place(i);
}

/* A fork's copies: closing them changes nothing for the parent, whose sets and timers they are. */
static void forget(void) {
  for (uint32_t i = 0; i < mp_shm_wait_set_kept; i++) {
    if (!is_used(&places[i])) continue;
    close_fds(&places[i]);
    places[i].of.wait_queue = NULL;
  }
  close_timers();
  mp_shm_wait_set_fds = mp_shm_wait_set_kept = 0;
  mp_shm_wait_set_table = 0;
}

MP_HOT_AFTER_FORK void mp_shm_wait_set_forked(void) {
  if (mp_shm_wait_set_table || mp_shm_wait_set_fds) forget();
}
