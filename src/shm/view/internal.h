/* SPDX-License-Identifier: MIT */
/* What the view's two files share (layer 1): view.c opens it and reads processes, view_object.c objects. */
#ifndef MP_SHM_VIEW_INTERNAL_H
#define MP_SHM_VIEW_INTERNAL_H

#include "shm/arena/chunk.h"
#include "shm/view/view.h"

#pragma GCC visibility push(hidden)

/* The bytes at an offset, or NULL when they do not all lie in the view. */
const void *mp_shm_view_block(const mp_shm_view *v, uint64_t at, uint64_t bytes);
/* True while the process that ref names lives. */
bool mp_shm_view_lives(const mp_shm_view *v, mp_shm_proc_ref ref);
/* The offset of the block of the live object of that type; 0: there is none. */
uint64_t mp_shm_view_object_at(const mp_shm_view *v, uint32_t slot, int type);

#pragma GCC visibility pop
#endif
