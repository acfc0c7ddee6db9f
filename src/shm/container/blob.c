/* SPDX-License-Identifier: MIT */
/* Blobs. The words stand in blob.h. */
#include "shm/container/blob.h"

#include <string.h>

static void init(uint32_t slot, void *block, const void *arg) {
  const mp_shm_blob_source *m = arg;
  mp_shm_blob *b = block;
  (void)slot;
  b->nhandles = 0;
  b->room = m->nhandles;
  b->n = m->len;
}

static int send_handles(mp_shm_blob *b, const mp_shm_blob_source *m, const mp_shm_wait *w) {
  if (!m->nhandles) return 0;
  memcpy(b->handles, m->handles, sizeof *b->handles * m->nhandles);
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  mp_shm_transit_begin(mp_shm_offset(b->handles), m->nhandles, mp_shm_offset(&b->nhandles), m->nhandles, 1);
  atomic_store_explicit(&b->nhandles, m->nhandles, memory_order_release);
  mp_shm_transit_end();
  mp_shm_arena_unlock();
  return 0;
}

int mp_shm_blob_new(const mp_shm_blob_source *m, const mp_shm_wait *w, mp_shm_handle *out) {
  int err = mp_shm_object_new(MP_TYPE_BLOB, sizeof(mp_shm_blob) + UINT64_C(8) * m->nhandles + m->len, init, m, w, out);
  if (err) return err;
  mp_shm_blob *b = mp_shm_object_block(*out, MP_TYPE_BLOB);
  char *to = (char *)&b->handles[b->room];
  for (size_t i = 0; i < m->niovecs; to += m->iovecs[i++].len) memcpy(to, m->iovecs[i].base, m->iovecs[i].len);
  err = send_handles(b, m, w);
  if (err) mp_shm_object_unuse(*out);
  return err;
}

static void destroy(uint32_t slot, void *block, bool thorough) {
  mp_shm_blob *b = block;
  (void)slot, (void)thorough;
  if (!b->nhandles) return;
  mp_shm_transit_begin(mp_shm_offset(b->handles), (uint32_t)b->nhandles, mp_shm_offset(&b->nhandles), 0, -1);
  atomic_store_explicit(&b->nhandles, 0, memory_order_release);
  mp_shm_transit_end();
}

const mp_shm_object_type_info mp_shm_blob_type = {.use_is_no_claim = true, .destroy = destroy};
