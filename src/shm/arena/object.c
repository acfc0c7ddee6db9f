/* SPDX-License-Identifier: MIT */
/* The directory of objects, who holds them, and handles in transit. States and commit rules stand in object.h. */
#include "shm/arena/object.h"

#include <errno.h>
#include <string.h>

#include "shm/arena/chunk.h"
#include "shm/arena/proc.h"

#define NO_STEP UINT64_MAX

MP_BSS_TAIL mp_shm_object_type_info mp_shm_object_types[MP_TYPES];
static mp_shm_object_type_info *const types = mp_shm_object_types;
static MP_PROCESS_LOCAL bool
    late; /* some bit of my reference bitmap has no use any more: the arena lock was busy, or the object is claimed */

/* This process's local uses, by slot; inherited by fork as the references are. */
MP_PROCESS_LOCAL_LARGE uint32_t mp_shm_object_uses[MP_OBJECT_MOST];

mp_shm_hooks mp_shm_hook;

void mp_shm_object_type(int type, const mp_shm_object_type_info *is) { types[type] = *is; }

static const mp_shm_object_type_info *type_of_state(uint64_t state) {
  unsigned type = (unsigned)(state >> 8) & 0xff;
  return &types[type < MP_TYPES ? type : 0]; /* there is no type 0: it does nothing */
}

const mp_shm_object_type_info *mp_shm_object_type_at(uint32_t slot) {
  return type_of_state(mp_shm_object_at(slot)->state);
}

static uint32_t slot_of(mp_shm_handle h) { return ((uint32_t)h & MP_SLOT_MASK) - 1; }

static uint64_t state_word(uint64_t gen, int type, unsigned s) { return gen << 32 | (uint64_t)type << 8 | s; }

static bool alive(mp_shm_handle h, int type) {
  uint32_t slot = slot_of(h);
  if (slot >= mp_shm_header->nobjects) return false;
  uint64_t st = atomic_load_explicit(&mp_shm_object_at(slot)->state, memory_order_acquire);
  return st == state_word(h >> 32, type, MP_OBJECT_LIVE);
}

bool mp_shm_object_live(mp_shm_handle h) {
  uint32_t slot = slot_of(h);
  if (slot >= mp_shm_header->nobjects) return false;
  uint64_t st = atomic_load_explicit(&mp_shm_object_at(slot)->state, memory_order_acquire);
  return st >> 32 == h >> 32 && (st & 0xff) == MP_OBJECT_LIVE;
}

mp_shm_handle mp_shm_object_handle(uint32_t slot) { return mp_shm_object_at(slot)->state >> 32 << 32 | (slot + 1); }

int mp_shm_object_type_of(mp_shm_handle h) {
  return mp_shm_object_live(h) ? (int)(mp_shm_object_at(slot_of(h))->state >> 8 & 0xff) : 0;
}

/* --- reference bitmaps --- */

static _Atomic uint64_t *row(uint32_t proc) {
  return (_Atomic uint64_t *)mp_shm_at(mp_shm_header->references) + (uint64_t)proc * mp_shm_header->row_words;
}

static void hold_set(uint32_t slot) { row(mp_shm_my_slot)[slot / 64] |= UINT64_C(1) << (slot % 64); }
static void hold_clear(uint32_t slot) { row(mp_shm_my_slot)[slot / 64] &= ~(UINT64_C(1) << (slot % 64)); }

static bool held_by_anyone(uint32_t slot) {
  for (uint32_t p = 0; p < mp_shm_header->top_proc; p++)
    if (row(p)[slot / 64] >> (slot % 64) & 1) return true;
  return false;
}

static bool held_by_another(uint32_t slot) {
  for (uint32_t p = 0; p < mp_shm_header->top_proc; p++)
    if (p != mp_shm_my_slot && row(p)[slot / 64] >> (slot % 64) & 1) return true;
  return false;
}

/* The reference bitmap behind those of the processes: which objects must be reaped when a holder dies. */
static _Atomic uint64_t *settling(void) { return row(mp_shm_header->nprocs); }

static uint64_t words_in_use(void) { return (mp_shm_header->top_object + 63) / 64; }

void mp_shm_references_copy(uint32_t from_proc, uint32_t to_proc) {
  memcpy((void *)row(to_proc), (void *)row(from_proc), words_in_use() * 8);
}

void mp_shm_references_add(uint32_t from_proc, uint32_t to_proc) {
  for (uint64_t w = 0; w < words_in_use(); w++) row(to_proc)[w] |= row(from_proc)[w];
}

void mp_shm_reference_give(uint32_t to_proc, mp_shm_handle h) {
  row(to_proc)[slot_of(h) / 64] |= UINT64_C(1) << (slot_of(h) % 64);
}

/* --- birth and death --- */

static void push_dying(uint32_t slot) {
  mp_shm_object *o = mp_shm_object_at(slot);
  o->next = mp_shm_header->dying;
  mp_shm_header->dying = slot + 1;
}

static void die_if_unheld(uint32_t slot) {
  mp_shm_object *o = mp_shm_object_at(slot);
  if (mp_shm_object_state(slot) != MP_OBJECT_LIVE || o->in_transit || held_by_anyone(slot)) return;
  uint64_t st = o->state;
  atomic_store_explicit(&o->state, (st & ~UINT64_C(0xff)) | MP_OBJECT_DYING, memory_order_release);
  push_dying(slot);
}

/* --- taking apart, in portions --- */

#define OBJECT_UNITS 32 /* what an object's own end counts for */

uint32_t mp_shm_object_portion = 4096; /* some 100 to 200 us */
MP_PROCESS_LOCAL bool mp_shm_object_unfinished;
static MP_PROCESS_LOCAL int64_t units_left;
static MP_PROCESS_LOCAL bool stopped; /* destroy was told to return */

bool mp_shm_object_spend(uint64_t units) {
  units_left -= (int64_t)units;
  stopped |= units_left <= 0;
  return !stopped;
}

/* False: something is left of it. */
static bool bury_one(uint32_t slot, bool thorough) {
  mp_shm_object *o = mp_shm_object_at(slot);
  const mp_shm_object_type_info *type = mp_shm_object_type_at(slot);
  uint64_t st = mp_shm_chunk_at(o->chunk)->st;
  if (mp_shm_chunk_state(st) == MP_USED && mp_shm_chunk_tag(st) == slot) {
    stopped = false;
    if (type->destroy) type->destroy(slot, mp_shm_chunk_data(o->chunk), thorough);
    if (stopped) return false;
    mp_shm_chunk_retire(o->chunk);
  }
  atomic_store_explicit(&o->state, ((o->state >> 32) + 1) << 32, memory_order_release);
  o->next = mp_shm_header->free_object;
  mp_shm_header->free_object = slot + 1;
  units_left -= OBJECT_UNITS;
  return true;
}

/* A thorough one goes through all that is dying, for only it knows that they were cut short; what takes long is left. */
void mp_shm_object_destroy_dead(bool thorough) {
  uint32_t left = 0;
  units_left = mp_shm_object_portion;
  while (mp_shm_header->dying && (thorough || units_left > 0)) {
    uint32_t slot = mp_shm_header->dying - 1;
    mp_shm_header->dying = mp_shm_object_at(slot)->next;
    if (bury_one(slot, thorough)) continue;
    mp_shm_object_at(slot)->next = left;
    left = slot + 1;
  }
  while (left) {
    uint32_t slot = left - 1;
    left = mp_shm_object_at(slot)->next;
    push_dying(slot);
  }
  mp_shm_object_unfinished = mp_shm_header->dying != 0;
}

void mp_shm_object_finish(bool all) {
  do {
    if (!mp_shm_arena_trylock()) return;
    mp_shm_object_destroy_dead(false);
    mp_os_mutex_unlock(&mp_shm_header->lock);
    if (mp_shm_chunk_retired) mp_shm_chunk_finish();
  } while (all && mp_shm_object_unfinished);
}

static int64_t take_slot(void) {
  if (mp_shm_header->free_object) {
    uint32_t slot = mp_shm_header->free_object - 1;
    mp_shm_header->free_object = mp_shm_object_at(slot)->next;
    return slot;
  }
  return mp_shm_header->top_object < mp_shm_header->nobjects ? (int64_t)mp_shm_header->top_object++ : -ENOMEM;
}

static void untake_slot(uint32_t slot) {
  mp_shm_object_at(slot)->next = mp_shm_header->free_object;
  mp_shm_header->free_object = slot + 1;
}

/* Before the object lives, for a slot keeps the bit of the one that died there. */
static void mark_settling(uint32_t slot, int type, const void *block) {
  const mp_shm_object_type_info *t = &types[type];
  uint64_t bit = UINT64_C(1) << (slot % 64), others = settling()[slot / 64] & ~bit;
  bool needed = t->reap && !(t->quiet && t->quiet(block));
  settling()[slot / 64] = needed ? others | bit : others;
}

static int born(int type, uint64_t bytes, void (*init)(uint32_t, void *, const void *), const void *arg,
                mp_shm_handle *out) {
  int64_t slot = take_slot();
  if (slot < 0) return (int)slot;
  int64_t chunk = mp_shm_chunk_claim(bytes, MP_USED, (uint32_t)slot, (uint32_t)slot, NULL);
  if (chunk < 0) {
    untake_slot((uint32_t)slot);
    return (int)chunk;
  }
  mp_shm_object *o = mp_shm_object_at((uint32_t)slot);
  o->chunk = (uint32_t)chunk;
  o->in_transit = 0;
  init((uint32_t)slot, mp_shm_chunk_data((uint64_t)chunk), arg);
  mark_settling((uint32_t)slot, type, mp_shm_chunk_data((uint64_t)chunk));
  hold_set((uint32_t)slot);
  mp_shm_object_uses[slot] = 1;
  mp_shm_has_claims |= !types[type].use_is_no_claim;
  uint64_t gen = o->state >> 32;
  atomic_store_explicit(&o->state, state_word(gen, type, MP_OBJECT_LIVE), memory_order_release);
  *out = gen << 32 | (uint32_t)(slot + 1);
  return 0;
}

int mp_shm_object_new(int type, uint64_t bytes, void (*init)(uint32_t, void *, const void *), const void *arg,
                      const mp_shm_wait *w, mp_shm_handle *out) {
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  mp_shm_references_flush();
  err = born(type, bytes, init, arg, out);
  while (err == -ENOMEM && mp_shm_header->dying) { /* what is dying may have what is needed */
    mp_shm_object_destroy_dead(false);
    err = born(type, bytes, init, arg, out);
  }
  mp_shm_arena_unlock();
  return err;
}

void *mp_shm_object_block(mp_shm_handle h, int type) {
  return alive(h, type) ? mp_shm_chunk_data(mp_shm_object_at(slot_of(h))->chunk) : NULL;
}

/* --- local uses --- */

int mp_shm_object_use(mp_shm_handle h, int type, const mp_shm_wait *w) {
  uint32_t slot = slot_of(h);
  if (!alive(h, type)) return -ENOENT;
  mp_shm_has_claims |= !types[type].use_is_no_claim;
  if (mp_shm_object_uses[slot]) {
    mp_shm_object_uses[slot]++;
    return 0;
  }
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  if (alive(h, type)) {
    hold_set(slot);
    mp_shm_object_uses[slot]++;
  } else {
    err = -ENOENT;
  }
  mp_shm_arena_unlock();
  return err;
}

void mp_shm_object_use_held(mp_shm_handle h) { mp_shm_object_uses[slot_of(h)]++; }

void mp_shm_object_use_kept(mp_shm_handle h) {
  hold_set(slot_of(h));
  mp_shm_object_uses[slot_of(h)]++;
}

/* Lets go a reference that has no use any more, unless this process still has a claim there that others wait for. */
static void drop_hold(uint32_t slot) {
  mp_shm_object *o = mp_shm_object_at(slot);
  bool (*claimed)(void *, uint32_t) = mp_shm_object_type_at(slot)->claimed;
  if (claimed && !MP_MUTANT(CLAIM) && claimed(mp_shm_chunk_data(o->chunk), mp_shm_my_slot) &&
      (o->in_transit || held_by_another(slot))) {
    late = true;
    return;
  }
  hold_clear(slot);
  die_if_unheld(slot);
}

static void release_and_unlock(uint32_t slot) {
  mp_shm_references_flush();
  drop_hold(slot);
  mp_shm_object_destroy_dead(false);
  mp_shm_arena_unlock();
}

static bool was_last_use(uint32_t slot) {
  if (--mp_shm_object_uses[slot]) return false;
  if (mp_shm_hook.last_use) mp_shm_hook.last_use(slot);
  return true;
}

void mp_shm_object_unuse(mp_shm_handle h) {
  uint32_t slot = slot_of(h);
  if (!was_last_use(slot)) return;
  if (mp_shm_arena_trylock())
    release_and_unlock(slot);
  else
    late = true;
}

int mp_shm_object_release(mp_shm_handle h, const mp_shm_wait *w) {
  uint32_t slot = slot_of(h);
  if (!was_last_use(slot)) return 0;
  int err = mp_shm_arena_lock(w);
  if (err)
    late = true;
  else
    release_and_unlock(slot);
  return err;
}

void mp_shm_references_flush(void) {
  if (!late) return;
  late = false;
  for (uint64_t w = 0; w < words_in_use(); w++)
    for (uint64_t bits = row(mp_shm_my_slot)[w]; bits; bits &= bits - 1) {
      uint32_t slot = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits);
      if (!mp_shm_object_uses[slot]) drop_hold(slot);
    }
  mp_shm_object_destroy_dead(false);
}

void mp_shm_references_flush_if_free(void) {
  if (!late || !mp_shm_arena_trylock()) return;
  mp_shm_references_flush();
  mp_shm_arena_unlock();
}

static bool is_type(uint32_t slot, int type) { return (int)(mp_shm_object_at(slot)->state >> 8 & 0xff) == type; }

void mp_shm_references_drop(int type) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  if (mp_shm_proc_at(mp_shm_my_slot)->nclaimed || mp_shm_arena_lock(&brief) != 0) return;
  for (uint64_t w = 0; w < words_in_use(); w++)
    for (uint64_t bits = row(mp_shm_my_slot)[w]; bits; bits &= bits - 1) {
      uint32_t slot = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits);
      if (!is_type(slot, type)) continue;
      hold_clear(slot);
      die_if_unheld(slot);
    }
  mp_shm_object_destroy_dead(false);
  mp_shm_arena_unlock();
}

/* Which of these 64 objects nobody else holds. */
static uint64_t held_alone(uint32_t proc, uint64_t w, uint64_t bits) {
  for (uint32_t p = 0; bits && p < mp_shm_header->top_proc; p++)
    if (p != proc) bits &= ~row(p)[w];
  return bits;
}

/* Most of what a child held its parent holds: that goes 64 at a time. */
void mp_shm_references_clear(uint32_t proc) {
  if (MP_MUTANT(REFERENCES)) return;
  for (uint64_t w = 0; w < words_in_use(); w++) {
    uint64_t held = row(proc)[w];
    if (!held) continue;
    row(proc)[w] = held_alone(proc, w, held);
    for (uint64_t bits = row(proc)[w]; bits; bits = row(proc)[w]) {
      row(proc)[w] = bits & (bits - 1);
      die_if_unheld((uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits));
    }
  }
  mp_shm_object_destroy_dead(false);
}

static int reap_one(uint32_t slot, uint32_t proc) {
  uint64_t st = mp_shm_object_at(slot)->state;
  const mp_shm_object_type_info *type = type_of_state(st);
  if (MP_MUTANT(PER_PROCESS)) return 0;
  if ((st & 0xff) != MP_OBJECT_LIVE || !type->reap) return 0;
  return type->reap(mp_shm_chunk_data(mp_shm_object_at(slot)->chunk), proc);
}

int mp_shm_references_reap(uint32_t proc) {
  int err = 0;
  for (uint64_t w = 0; w < words_in_use(); w++)
    for (uint64_t bits = row(proc)[w] & settling()[w]; bits && !err; bits &= bits - 1)
      err = reap_one((uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits), proc);
  return err;
}

/* --- handles in transit --- */

static uint32_t transit_slot(uint64_t record, uint32_t i) { return slot_of(((mp_shm_handle *)mp_shm_at(record))[i]); }

void mp_shm_transit_begin(uint64_t record, uint32_t n, uint64_t word, uint64_t value, int delta) {
  mp_shm_transit_log *log = &mp_shm_header->log;
  log->commit_word = word;
  log->commit_value = value;
  log->count = n;
  log->delta = (uint32_t)delta;
  atomic_store_explicit(&log->step, NO_STEP, memory_order_release);
  atomic_store_explicit(&log->record, record, memory_order_release);
  for (uint32_t i = 0; i < n; i++) {
    mp_shm_object *o = mp_shm_object_at(transit_slot(record, i));
    atomic_store_explicit(&log->step, (uint64_t)i << 32 | o->in_transit, memory_order_release);
    o->in_transit += (uint32_t)delta;
  }
}

void mp_shm_transit_end(void) {
  mp_shm_transit_log *log = &mp_shm_header->log;
  uint64_t record = log->record;
  bool taken = (int32_t)log->delta < 0;
  atomic_store_explicit(&log->record, 0, memory_order_release);
  for (uint32_t i = 0; taken && i < log->count; i++) die_if_unheld(transit_slot(record, i));
}

void mp_shm_transit_retain(uint64_t record, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    uint32_t slot = transit_slot(record, i);
    hold_set(slot);
    mp_shm_object_uses[slot]++;
  }
}

static void undo_steps(mp_shm_transit_log *log) {
  uint64_t step = log->step;
  if (step == NO_STEP) return;
  uint32_t last = (uint32_t)(step >> 32);
  mp_shm_object_at(transit_slot(log->record, last))->in_transit = (uint32_t)step;
  while (last-- > 0) {
    mp_shm_object *o = mp_shm_object_at(transit_slot(log->record, last));
    atomic_store_explicit(&log->step, (uint64_t)last << 32 | (o->in_transit - log->delta), memory_order_release);
    o->in_transit -= log->delta;
  }
}

void mp_shm_transit_recover(void) {
  mp_shm_transit_log *log = &mp_shm_header->log;
  if (!log->record) return;
  if (*(_Atomic uint64_t *)mp_shm_at(log->commit_word) != log->commit_value && !MP_MUTANT(TRANSIT)) undo_steps(log);
  atomic_store_explicit(&log->record, 0, memory_order_release);
}

/* An object whose last hold went with the interrupted operation is found here too. */
void mp_shm_object_rebuild(void) {
  mp_shm_header->free_object = mp_shm_header->dying = 0;
  for (uint32_t i = mp_shm_header->top_object; i-- > 0;) {
    unsigned s = mp_shm_object_state(i);
    if (s == MP_OBJECT_FREE) untake_slot(i);
    if (s == MP_OBJECT_DYING) push_dying(i);
    if (s == MP_OBJECT_LIVE) die_if_unheld(i);
  }
  mp_shm_object_destroy_dead(true);
}

uint32_t mp_shm_object_count(void) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < mp_shm_header->top_object; i++) n += mp_shm_object_state(i) != MP_OBJECT_FREE;
  return n;
}
