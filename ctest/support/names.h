/* SPDX-License-Identifier: MIT */
/*
 * Messages with names, for campaigns: a message's name is its stream, its lane (its producer's place) and its number, and
 * its content tells the name. A byte per name, in memory that mproc knows nothing of, says what became of it.
 */
#ifndef MP_CTEST_NAMES_H
#define MP_CTEST_NAMES_H

#include "campaign.h"

#define T_NAMES_MOST (UINT64_C(1) << 26) /* numbers of a lane, counted from 1 */
enum { T_LANES = 4 };

/* What a name's byte says: how often it was received, in the lowest bits, and notes. */
enum {
  T_RECEIVED = 7,
  T_SEEN = 8,  /* by some consumer, as a large message */
  T_CUT = 16,  /* its producer was killed within that very put */
  T_HAND = 32, /* a consumer was killed with it in hand */
};

void t_names_set_up(unsigned streams);
uint64_t t_name(unsigned stream, unsigned lane, uint64_t number);
unsigned t_name_stream(uint64_t name);
uint64_t t_name_number(uint64_t name);
bool t_is_name(uint64_t name, unsigned stream);

/* Notes, and the byte as it was before. */
uint8_t t_name_note(uint64_t name, uint8_t note);
/* One more receipt, and the byte as it was before. */
uint8_t t_name_receive(uint64_t name);
uint8_t t_name_facts(uint64_t name);

/* The message of that name with n bytes, until the next call. */
const void *t_name_message(uint64_t name, size_t n);
/* The name of a message of that stream; its content is looked at. */
uint64_t t_name_of(const mp_shm_incoming *g, unsigned stream);

/* For a hang, on stderr: the queue's words, and the messages in somebody's hands. */
void t_show_queue(const char *name, const mp_shm_queue *q);
/* How many of its locks their owners died with. */
unsigned t_abandoned_locks(const mp_shm_queue *q);

#endif
