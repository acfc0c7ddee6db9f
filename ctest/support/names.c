/* SPDX-License-Identifier: MIT */
/* Messages with names. The contracts stand in names.h. */
#include "names.h"

#include "shm/arena/proc.h"

#define SALT UINT64_C(0x9e3779b97f4a7c15)
enum { BYTES_MOST = 65536 };

static _Atomic uint8_t *bytes;

void t_names_set_up(unsigned streams) { bytes = t_shared(streams * T_LANES * T_NAMES_MOST); }

uint64_t t_name(unsigned stream, unsigned lane, uint64_t number) {
  return ((uint64_t)stream * T_LANES + lane) * T_NAMES_MOST + number;
}

unsigned t_name_stream(uint64_t name) { return (unsigned)(name / (T_LANES * T_NAMES_MOST)); }
uint64_t t_name_number(uint64_t name) { return name % T_NAMES_MOST; }
bool t_is_name(uint64_t name, unsigned stream) { return t_name_number(name) && t_name_stream(name) == stream; }

uint8_t t_name_note(uint64_t name, uint8_t note) { return atomic_fetch_or(&bytes[name], note); }
uint8_t t_name_receive(uint64_t name) { return atomic_fetch_add(&bytes[name], 1); }
uint8_t t_name_facts(uint64_t name) { return bytes[name]; }

const void *t_name_message(uint64_t name, size_t n) {
  static uint64_t content[BYTES_MOST / 8];
  CHECK(n <= BYTES_MOST);
  content[0] = name;
  for (size_t i = 1; i < n / 8; i++) content[i] = name * SALT + i;
  return content;
}

uint64_t t_name_of(const mp_shm_incoming *g, unsigned stream) {
  const uint64_t *p = g->data;
  CHECK(t_is_name(p[0], stream));
  for (size_t i = 1; i < g->len / 8; i++) CHECK(p[i] == p[0] * SALT + i);
  return p[0];
}

unsigned t_abandoned_locks(const mp_shm_queue *q) {
  return (unsigned)(mp_os_mutex_abandoned(&q->producers) + mp_os_mutex_abandoned(&q->consumers) +
                    mp_os_mutex_abandoned(&q->data.sleeper_lock) + mp_os_mutex_abandoned(&q->room.sleeper_lock));
}

static void show_chunk(const mp_shm_queue *q, uint64_t i) {
  const mp_shm_chunk *k = mp_shm_chunk_at(i);
  if (k->object != q->slot || mp_shm_chunk_state(k->st) < MP_READING) return;
  uint32_t tag = mp_shm_chunk_tag(k->st);
  bool read = mp_shm_chunk_state(k->st) == MP_READING;
  fprintf(stderr, "    message %lu in state %u, tag %u (pid %d), leased by %u\n", (long)k->seq,
          mp_shm_chunk_state(k->st), tag, read ? (int)mp_shm_proc_at(tag)->pid : 0, k->lessee);
  if (read)
    fprintf(stderr, "      that process: state %lx, dead %d, in hand %u\n", (long)mp_shm_proc_state(tag),
            mp_shm_proc_slot_dead(tag), mp_shm_proc_at(tag)->nclaimed);
}

void t_show_queue(const char *name, const mp_shm_queue *q) {
  fprintf(stderr,
          "  %s: head %lx tail %lx end %lx put %lu got %lu returned %u closed %u dirty %u abandoned %u bells %x %x\n",
          name, (long)q->head, (long)q->tail, (long)q->end, (long)q->nput, (long)q->ngot, q->nret, q->closed,
          q->needs_recovery, t_abandoned_locks(q), q->data.word, q->room.word);
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = mp_shm_chunk_after((uint64_t)i)) show_chunk(q, (uint64_t)i);
}
