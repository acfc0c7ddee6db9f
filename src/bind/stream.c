/* SPDX-License-Identifier: MIT */
/* Frames over a socket. The contracts stand in stream.h. */
#include "bind/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/process.h"

enum { PIECES = 64, FIRST_ROOM = 1 << 16, KEPT_ROOM = 4 << 20 };

void mp_lua_stream_init(mp_lua_stream *s, int fd, uint64_t max_bytes, bool trusted) {
  *s = (mp_lua_stream){.fd = fd, .max_bytes = max_bytes, .trusted = trusted};
}

/* Until it can be read or written, as `what` says, in slices. 0; -ETIMEDOUT, -EINTR. */
static int await(int fd, unsigned what, const mp_shm_wait *w) {
  for (;;) {
    if (w->deadline == 0) return mp_os_socket_wait(fd, what, 0) == 1 ? 0 : -ETIMEDOUT;
    if (mp_os_socket_wait(fd, what, mp_shm_wait_slice(w)) == 1) return 0;
    int err = mp_shm_wait_check(w);
    if (err) return err;
  }
}

static bool would_block(int64_t r) { return r == -EAGAIN || r == -EINTR; }

static int as_end(int64_t err) { return err == -ECONNRESET || err == -EPIPE || err == 0 ? -EPIPE : (int)err; }

/* --- out --- */

/* Steps over n bytes that went. */
static void advance(struct iovec **v, size_t *nv, uint64_t n) {
  while (*nv && n >= (*v)->iov_len) {
    n -= (*v)->iov_len;
    ++*v, --*nv;
  }
  if (*nv) {
    (*v)->iov_base = (char *)(*v)->iov_base + n;
    (*v)->iov_len -= n;
  }
}

/* Writes until all is out or w ends it; *begun: something went. */
static int write_all(int fd, struct iovec **v, size_t *nv, bool *begun, const mp_shm_wait *w) {
  while (*nv) {
    int64_t sent = mp_os_socket_send(fd, *v, *nv);
    if (sent > 0) {
      *begun = true;
      advance(v, nv, (uint64_t)sent);
      continue;
    }
    if (sent < 0 && !would_block(sent)) return as_end(sent);
    int err = await(fd, MP_OS_WRITE, w);
    if (err) return err;
  }
  return 0;
}

static void forget_rest(mp_lua_stream *s) {
  if (s->out) mp_process_rest_drop(s->out);
  s->out = NULL;
}

static int flush(mp_lua_stream *s, const mp_shm_wait *w) {
  if (s->out && !mp_process_rest_is_own(s->out)) forget_rest(s);
  if (!s->out) return 0;
  struct iovec left = {s->out->bytes + s->out->at, s->out->n - s->out->at}, *v = &left;
  size_t n = left.iov_len ? 1 : 0;
  bool begun;
  int err = write_all(s->fd, &v, &n, &begun, w);
  s->out->at = s->out->n - (n ? left.iov_len : 0);
  if (n) return err;
  forget_rest(s);
  return 0;
}

/* Keeps what has not gone of a frame that has begun. */
static int keep_rest(mp_lua_stream *s, const struct iovec *v, size_t n) {
  s->out = mp_process_rest_keep(s->fd, v, n);
  return s->out ? 0 : -ENOMEM;
}

static int send_pieces(mp_lua_stream *s, struct iovec *v, size_t n, const mp_shm_wait *w) {
  bool begun = false;
  int err = write_all(s->fd, &v, &n, &begun, w);
  if ((err != -ETIMEDOUT && err != -EINTR) || !begun) return err;
  err = keep_rest(s, v, n);
  if (err) s->ended = err;
  return err;
}

int mp_lua_stream_send(mp_lua_stream *s, const struct iovec *pieces, size_t npieces, uint64_t n, const mp_shm_wait *w) {
  uint8_t head[MP_WIRE_HEAD_MOST];
  struct iovec few[PIECES], *v = few;
  mp_process_rests_step();
  int err = flush(s, w);
  if (err) return err;
  if (npieces + 1 > PIECES && !(v = malloc((npieces + 1) * sizeof *v))) return -ENOMEM;
  v[0] = (struct iovec){head, mp_wire_put_head(head, n)};
  memcpy(v + 1, pieces, npieces * sizeof *v);
  err = send_pieces(s, v, npieces + 1, w);
  if (v != few) free(v);
  return err;
}

/* --- in --- */

static int end_with(mp_lua_stream *s, int err) {
  s->ended = err;
  return err;
}

/* Reads what is there of the n bytes that belong to `to`: how many; -EAGAIN; what ended it. */
static int64_t read_some(mp_lua_stream *s, void *to, uint64_t n) {
  int64_t got = mp_os_socket_receive(s->fd, to, n);
  return got > 0 ? got : would_block(got) && got ? -EAGAIN : end_with(s, as_end(got));
}

/* 1: the head is whole; 0: go on; -errno. */
static int read_head(mp_lua_stream *s) {
  int need = mp_wire_head(s->head, s->nhead, &s->want);
  if (need < 0) return end_with(s, need);
  if (need == 0) return s->want > s->max_bytes || s->want > SIZE_MAX / 2 ? end_with(s, -EMSGSIZE) : 1;
  int64_t got = read_some(s, s->head + s->nhead, (uint64_t)need - s->nhead);
  if (got < 0) return (int)got;
  s->nhead += (size_t)got;
  return 0;
}

/* Twice what has come, so that a head that lies costs its sender as much. */
static int make_room(mp_lua_stream *s) {
  uint64_t room = 2 * s->have < FIRST_ROOM ? FIRST_ROOM : 2 * s->have;
  if (s->have < s->room) return 0;
  if (room > s->want) room = s->want;
  char *more = realloc(s->in, room ? (size_t)room : 1);
  if (!more) return end_with(s, -ENOMEM);
  s->in = more;
  s->room = room;
  return 0;
}

static int read_body(mp_lua_stream *s) {
  if (s->have == s->want) return s->whole = true, 0;
  int err = make_room(s);
  if (err) return err;
  uint64_t end = s->want < s->room ? s->want : s->room;
  int64_t got = read_some(s, s->in + s->have, end - s->have);
  if (got < 0) return (int)got;
  s->have += (uint64_t)got;
  s->whole = s->have == s->want;
  return 0;
}

/* 0: a step was made; -EAGAIN: there is nothing; what ended it. */
static int step(mp_lua_stream *s) {
  int head = read_head(s);
  return head == 1 ? read_body(s) : head;
}

/* What a receiver waits for. The other side may want the rest of a frame before it answers: that goes out meanwhile. */
static unsigned wanted(mp_lua_stream *s) {
  static const mp_shm_wait now = {0, NULL, NULL};
  return s->out && flush(s, &now) == -ETIMEDOUT ? MP_OS_READ | MP_OS_WRITE : MP_OS_READ;
}

int mp_lua_stream_receive(mp_lua_stream *s, const mp_shm_wait *w) {
  wanted(s);
  while (!s->whole) {
    if (s->ended) return s->ended;
    int err = step(s);
    if (err == -EAGAIN) err = await(s->fd, wanted(s), w);
    if (err) return err;
  }
  return 0;
}

void mp_lua_stream_taken(mp_lua_stream *s) {
  s->nhead = 0;
  s->whole = false;
  s->have = 0;
  if (s->room <= KEPT_ROOM) return;
  free(s->in);
  s->in = NULL;
  s->room = 0;
}

void mp_lua_stream_close(mp_lua_stream *s, uint64_t until) {
  mp_shm_wait w = {until, NULL, NULL};
  if (s->fd < 0) return;
  if (s->ended || flush(s, &w) != -ETIMEDOUT || until) {
    forget_rest(s);
    mp_os_close(s->fd);
  } else {
    mp_process_rest_leave(s->out);
  }
  free(s->in);
  s->fd = -1;
  s->in = NULL;
  s->out = NULL;
}
