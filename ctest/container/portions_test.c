/* SPDX-License-Identifier: MIT */
/*
 * A container with many handles, or many chunks, ends in portions: after one section of the arena lock it is dying still,
 * some of its handles are gone, and others have their turn; who let go of it goes on until nothing is left.
 */
#include "dict_scenario.h"
#include "shm/container/list.h"

enum { MANY = 20000, PORTION = 500, LEAST = MANY / PORTION / 2 };

static mp_shm_handle container, inner;

static mp_shm_item carried(void) {
  return (mp_shm_item){.type = MP_ITEM_MESSAGE, .p = &inner, .n = 8, .handles = &inner, .nhandles = 1};
}

static void dict_of_handles(void) {
  for (uint64_t i = 0; i < MANY; i++) t_set_handle(i, inner);
}
static void dict_of_numbers(void) {
  for (uint64_t i = 0; i < MANY; i++) t_set_integer(i, 1);
}
static void list_of_handles(void) {
  mp_shm_list *l = mp_shm_object_block(container, MP_TYPE_LIST);
  const mp_shm_item v = carried();
  for (uint64_t i = 0; i < MANY; i++) CHECK(mp_shm_list_append(l, &v, 1, &t_soon) == 0);
}

static void make(bool list, bool split) {
  const mp_shm_dict_options plain = {0};
  CHECK(mp_shm_dict_new(&plain, &t_soon, &inner) == 0);
  t_dict();
  if (split) mp_shm_dict_split_at = 1024;
  if (list) {
    mp_shm_object_unuse(t_h);
    CHECK(mp_shm_list_new(&t_soon, &container) == 0);
  } else {
    container = t_h;
  }
}

static unsigned state(void) { return mp_shm_object_state(((uint32_t)container & MP_SLOT_MASK) - 1); }
static uint32_t in_transit(void) { return mp_shm_object_at(((uint32_t)inner & MP_SLOT_MASK) - 1)->in_transit; }

/* The container's last use ends while the arena is locked, so that the reference goes by the sections that follow. */
static unsigned end_by_sections(bool handles) {
  unsigned n = 0;
  CHECK(mp_shm_arena_lock(&t_soon) == 0);
  mp_shm_object_unuse(container);
  mp_shm_references_flush();
  while (state() == MP_OBJECT_DYING) {
    uint32_t before = in_transit();
    mp_shm_object_destroy_dead(false);
    CHECK(before - in_transit() <= PORTION);
    CHECK(!handles || state() != MP_OBJECT_DYING || in_transit() < before || !before);
    n++;
  }
  mp_shm_arena_unlock();
  return n;
}

static void test(const char *what, bool list, bool split, void (*fill)(void), bool handles) {
  t_what = what;
  t_deadline(60);
  mp_shm_object_portion = PORTION;
  make(list, split);
  fill();
  CHECK(end_by_sections(handles) >= (handles ? LEAST : 2));
  CHECK(in_transit() == 0);
  mp_shm_object_unuse(inner);
  t_nothing_left();
  make(list, split);
  fill();
  mp_shm_object_unuse(container); /* as users do it */
  CHECK(state() == MP_OBJECT_FREE && in_transit() == 0);
  mp_shm_object_unuse(inner);
  t_nothing_left();
  printf("  %s\n", what);
}

int main(void) {
  t_start();
  test("a dictionary of handles", false, false, dict_of_handles, true);
  test("a dictionary of handles, split", false, true, dict_of_handles, true);
  test("a dictionary of numbers, split", false, true, dict_of_numbers, false);
  test("a list of handles", true, false, list_of_handles, true);
  printf("ok 4\n");
  return 0;
}
