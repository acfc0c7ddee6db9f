/* SPDX-License-Identifier: MIT */
/* Messages with names. The contracts stand in names.h. */
#include "names.h"

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

uint64_t t_name_of(const mp_got *g, unsigned stream) {
  const uint64_t *p = g->data;
  CHECK(t_is_name(p[0], stream));
  for (size_t i = 1; i < g->len / 8; i++) CHECK(p[i] == p[0] * SALT + i);
  return p[0];
}
