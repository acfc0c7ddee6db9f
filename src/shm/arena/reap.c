/* SPDX-License-Identifier: MIT */
/* What a dead process had claimed goes back. For registry.c, whose elected cleaner calls it. */
#include <errno.h>

#include "shm/arena/chunk.h"
#include "shm/arena/object.h"
#include "shm/arena/proc.h"

MP_PROCESS_LOCAL bool mp_shm_has_claims;

static int free_held(uint64_t i) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  mp_shm_chunk_unload(i);
  int err = mp_shm_arena_lock(&brief);
  if (err) return err;
  mp_shm_chunk_free(i);
  mp_shm_arena_unlock();
  return 0;
}

/* The object it was taken from lives: the dead process still has its reference. */
static int reap_reading(uint64_t i, uint32_t slot, bool carrying) {
  const mp_shm_object_type_info *type = mp_shm_object_type_at(mp_shm_chunk_at(i)->object);
  if (!type->reap_chunk || type->chunk_carries(i) != carrying) return 0;
  return type->reap_chunk(i, slot);
}

static int reap_chunk(uint64_t i, uint32_t slot, bool carrying) {
  uint64_t st = mp_shm_chunk_at(i)->st;
  if (mp_shm_chunk_tag(st) != slot || MP_MUTANT(REAP)) return 0;
  if (mp_shm_chunk_state(st) == MP_READING) return reap_reading(i, slot, carrying);
  return mp_shm_chunk_state(st) == MP_HELD ? free_held(i) : 0;
}

static int reap_chunks(uint32_t slot, bool carrying) {
  int err = 0;
  for (int64_t i = mp_shm_chunk_next(0), after; i >= 0 && !err; i = after) {
    after = mp_shm_chunk_after((uint64_t)i);
    err = reap_chunk((uint64_t)i, slot, carrying);
  }
  return err;
}

/* The arena's own recovery first: it judges a move of handles by a chunk's state, which is changed next. Then
 * chunks: while the dead process's references stand, the queues they belong to live. Those that carry handles come after
 * the others: who takes such a message again finds back in a queue it carries what the dead process had taken from
 * there, and may drop that queue once it is empty. Holds last. */
int mp_shm_proc_reap(uint32_t slot) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  int err = mp_shm_arena_lock(&brief);
  if (err) return err;
  mp_shm_arena_unlock();
  if (mp_shm_proc_at(slot)->nclaimed) err = reap_chunks(slot, false);
  if (!err && mp_shm_proc_at(slot)->nclaimed) err = reap_chunks(slot, true);
  if (!err) err = mp_shm_references_reap(slot);
  if (!err) err = mp_shm_arena_lock(&brief);
  if (err) return err;
  mp_shm_references_clear(slot);
  mp_shm_arena_unlock();
  return 0;
}

/* Not with a chunk claimed, nor with a lock: its object must live until the system has released it. Then a sweep
 * does it. Nor when nobody can wait for it: whoever reaps it clears its references, for less than the pages cost it here. */
MP_HOT_AFTER_FORK void mp_shm_proc_unregister(void) {
  if (!mp_shm_is_usable) return;
  if (mp_shm_hook.leaves) mp_shm_hook.leaves();
  if (!mp_shm_has_claims || mp_shm_proc_at(mp_shm_my_slot)->nclaimed) return;
  if (mp_shm_hook.bound && mp_shm_hook.bound()) return;
  mp_shm_is_usable = false;
  mp_shm_proc_reap(mp_shm_my_slot);
}
