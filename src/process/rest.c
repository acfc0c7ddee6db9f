/* SPDX-License-Identifier: MIT */
/* The rests of frames. The contracts stand in rest.h. */
#include "process/rest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/process.h"
#include "os/socket.h"

#define PATIENCE (2000 * MP_MS)

static mp_process_rest *rests;

mp_process_rest *mp_process_rest_keep(int fd, const struct iovec *pieces, size_t npieces) {
  size_t n = 0;
  for (size_t i = 0; i < npieces; i++) n += pieces[i].iov_len;
  mp_process_rest *r = malloc(sizeof *r + n);
  if (!r) return NULL;
  *r = (mp_process_rest){.next = rests, .fd = fd, .sender = getpid(), .n = n};
  rests = r;
  char *to = r->bytes;
  for (size_t i = 0; i < npieces; i++) {
    memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
    to += pieces[i].iov_len;
  }
  return r;
}

bool mp_process_rest_is_own(const mp_process_rest *r) { return r->sender == getpid(); }

void mp_process_rest_drop(mp_process_rest *r) {
  mp_process_rest **at = &rests;
  while (*at && *at != r) at = &(*at)->next;
  if (*at) *at = r->next;
  if (r->until) mp_os_close(r->fd);
  free(r);
}

void mp_process_rest_leave(mp_process_rest *r) { r->until = mp_os_now() + PATIENCE; }

/* Sends what can go at once. True when nothing is left, or nothing more will go. */
static bool send_some(mp_process_rest *r) {
  while (r->at < r->n) {
    struct iovec left = {r->bytes + r->at, r->n - r->at};
    int64_t sent = mp_os_socket_send(r->fd, &left, 1);
    if (sent < 0) return sent != -EAGAIN && sent != -EINTR;
    r->at += (size_t)sent;
  }
  return true;
}

void mp_process_rests_step(void) {
  for (mp_process_rest *r = rests, *next; r; r = next) {
    next = r->next;
    if (r->until && (!mp_process_rest_is_own(r) || send_some(r) || mp_os_now() > r->until)) mp_process_rest_drop(r);
  }
}

MP_HOT_AFTER_FORK void mp_process_rests_finish(void) {
  if (!rests) return; /* each child comes here */
  uint64_t until = mp_os_now() + PATIENCE;
  for (mp_process_rest *r = rests; r; r = r->next) {
    if (!mp_process_rest_is_own(r)) continue;
    while (!send_some(r) && mp_os_now() < until) mp_os_socket_wait(r->fd, MP_OS_WRITE, until);
  }
}
