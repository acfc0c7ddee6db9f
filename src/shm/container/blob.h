/* SPDX-License-Identifier: MIT */
/*
 * Blobs (layer 1): immutable values of containers that are too long for an entry, and the handles in them. Called by L3.
 *
 * word       written by                                   what a survivor sees
 * nhandles   the maker, by the commit of their going into how many handles are in transit by it
 *            transit; destroy, by that of their coming off
 * the rest   the maker, between the birth and the first   nobody else can have the handle yet
 *            store of the blob's handle
 */
#ifndef MP_SHM_CONTAINER_BLOB_H
#define MP_SHM_CONTAINER_BLOB_H

#include "shm/arena/object.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_BLOB = 11 };

typedef struct mp_shm_blob {
  _Atomic uint64_t nhandles;
  uint64_t room, n;        /* handles there is room for; bytes behind them */
  mp_shm_handle handles[]; /* then the bytes */
} mp_shm_blob;

static inline const void *mp_shm_blob_bytes(const mp_shm_blob *b) { return &b->handles[b->room]; }

typedef struct mp_shm_blob_iovec {
  const void *base;
  size_t len;
} mp_shm_blob_iovec;

typedef struct mp_shm_blob_source { /* private */
  const mp_shm_blob_iovec *iovecs;
  size_t niovecs, len; /* len: the sum */
  const mp_shm_handle *handles;
  uint32_t nhandles; /* all held by this process */
} mp_shm_blob_source;

/* Makes one of that, held by this process. 0, -ENOMEM, -EINTR, -ETIMEDOUT. */
int mp_shm_blob_new(const mp_shm_blob_source *m, const mp_shm_wait *w, mp_shm_handle *out);
extern const mp_shm_object_type_info mp_shm_blob_type;

#pragma GCC visibility pop
#endif
