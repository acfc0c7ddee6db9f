/* SPDX-License-Identifier: MIT */
/*
 * A reader of a dictionary is stopped at each of its instructions, while a writer does all that writers do; then it goes on.
 * It must answer what was there before, or what is there after.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dict_scenario.h"
#include "interleaving.h"

enum { SPLIT_KEY = 5000, OTHERS = 4000 };

/* What the reader got, where both see it: looked at when all is over. */
static struct answer {
  volatile int found; /* -1: nothing yet */
  mp_shm_item v;
  _Alignas(8) char buffer[MP_ITEM_ROOM];
} * answer;
static mp_shm_key wanted;
static unsigned filled;
static uint64_t n;
static int before_is, after_is;
static bool used_again;

static void with_texts(unsigned fill, uint64_t key, int b, int a) {
  t_dict();
  n = key;
  before_is = b;
  after_is = a;
  used_again = false;
  for (filled = 0; filled < fill;) t_set_text(++filled, 0);
  answer->found = -1;
  wanted = t_key(&n);
}
static void five(void) { with_texts(5, 3, 1, 2); }
static void five_to_none(void) { with_texts(5, 3, 1, 0); }
static void five_to_third(void) { with_texts(5, 3, 1, 3); }
static void number(void) {
  with_texts(5, 99, 107, 108);
  t_set_integer(99, 7);
}
static void last_to_none(void) { with_texts(5, 5, 1, 0); }
static void absent(void) { with_texts(5, 99, 0, 2); }
static void many(void) { with_texts(30, 3, 1, 1); }
static void many_full(void) {
  many();
  t_fill_table(&filled);
}

static void read_one(void *arg) {
  (void)arg;
  answer->found = mp_shm_dict_get(t_d, &wanted, answer->buffer, &answer->v);
}

static void replace(void) { t_set_text(n, 1); }
static void set_number(void) { t_set_integer(n, 8); }
static void delete (void) { CHECK(t_delete(n) == 1); }
static void delete_and_insert(void) {
  delete ();
  t_set_text(n, 2);
}

/* The last entry goes, a writer dies, and the next one, who recovers, may write where that entry was. */
static void delete_and_recover(void) {
  delete ();
  pid_t pid = fork();
  if (pid == 0) _exit(mp_os_mutex_try(&t_d->first.lock));
  waitpid(pid, NULL, 0);
  t_set_text(OTHERS, 2);
}

/* Writes other keys until the table has been replaced twice. */
static void new_tables(void) {
  for (int times = 0; times < 2; times++) {
    uint64_t w = t_d->first.table;
    for (uint64_t i = 0; t_d->first.table == w; i++) t_set_text(OTHERS + i % 7, (unsigned)(i % 3));
  }
}

static void split(void) {
  mp_shm_dict_split_at = 1;
  t_set_text(SPLIT_KEY, 0);
  CHECK(t_d->mask);
  for (uint64_t i = 1; i <= filled; i++) CHECK(t_look(i) == 1);
}

/* An image of the table in which every text is that of version 2. */
static void forge(char *image, uint64_t w) {
  for (uint64_t i = 0; i < mp_shm_index_size(w); i++) {
    uint64_t slot = ((mp_shm_table *)(void *)image)->index[i], key;
    if (!mp_shm_slot_filled(slot)) continue;
    char *e = image + mp_shm_slot_place(slot) + sizeof(mp_shm_entry);
    memcpy(&key, e, 8);
    for (unsigned k = 0; k < T_TEXT; k++) e[8 + k] = (char)(key * 7 + k * 3 + 2);
  }
}

/* The table is replaced, and who has its memory now writes there what looks like it, but for its texts. */
static void reuse(void) {
  static _Alignas(8) char image[1 << 16];
  uint64_t w = t_d->first.table;
  mp_shm_table *t = mp_shm_table_at(w);
  uint64_t bytes = mp_shm_table_bytes(t);
  CHECK(bytes <= sizeof image);
  memcpy(image, t, bytes);
  forge(image, w);
  new_tables();
  memcpy(t, image, bytes);
  used_again = true;
}

static void audit(void) {
  CHECK(answer->found >= 0);
  int is = t_judge(n, answer->found, &answer->v);
  CHECK(is == before_is || is == after_is);
  mp_shm_object_unuse(t_h);
  mp_shm_sweep();
  if (!used_again) t_nothing_left();
}

int main(void) {
  static const t_interleaving interleavings[] = {
      {"get meets a number in place", number, read_one, set_number, audit},
      {"get meets replace", five, read_one, replace, audit},
      {"get meets insert", absent, read_one, replace, audit},
      {"get meets delete", five_to_none, read_one, delete, audit},
      {"get meets delete and insert", five_to_third, read_one, delete_and_insert, audit},
      {"get meets delete, death, recovery and insert", last_to_none, read_one, delete_and_recover, audit},
      {"get meets two new tables", many, read_one, new_tables, audit},
      {"get meets two new tables, of a full one", many_full, read_one, new_tables, audit},
      {"get meets the split", many, read_one, split, audit},
      {"get meets memory that is used again", many_full, read_one, reuse, audit},
  };
  t_start();
  answer = t_shared(sizeof *answer);
  t_run_interleavings(interleavings, sizeof interleavings / sizeof *interleavings);
  return 0;
}
