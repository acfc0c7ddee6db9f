/* SPDX-License-Identifier: MIT */
/*
 * For `make tsan`: TSan sees the races of threads, not of processes, so in this build (MP_THREADS) each thread has a slot
 * in the registry and plays a process. It dies when it ends, as a process does: with what it has in hand. (Not with locks:
 * the kernel passes those on, and that order TSan does not see.)
 *
 * The protocols order more than their own words: whatever a process wrote before it released, put, set or arrived, who
 * acquires, gets or waits afterwards may read. `plain` is that memory here, in no way atomic: TSan objects to any pair of
 * accesses that the objects under test have not put in order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "shm/arena/proc.h"
#include "shm/container/dict.h"
#include "shm/container/list.h"
#include "shm/number/array.h"
#include "shm/queue/joinable.h"
#include "shm/queue/pipe_end.h"
#include "shm/sync/barrier.h"
#include "shm/sync/condition.h"
#include "shm/sync/event.h"
#include "shm/sync/mutex.h"
#include "shm/sync/rwlock.h"
#include "shm/sync/semaphore.h"

enum { THREADS = 4, MANY = 400, LONG = 40000, STACK = 64 << 20, WORDS = 16 };

static uint64_t plain[WORDS];
static mp_shm_handle handles[2];
static void *blocks[2];

static uint64_t body[THREADS][LONG / 8];
static _Alignas(16) char buffers[THREADS][MP_INLINE_MAX];

/* TSan does not know this one, and would not see the lock taken. It knows those that it is made of here. */
int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *until) {
  const struct timespec private_wait = {0, 20000};
  struct timespec t;
  for (;;) {
    int r = pthread_mutex_trylock(m);
    if (r != EBUSY) return r;
    clock_gettime(clock, &t);
    if (t.tv_sec > until->tv_sec || (t.tv_sec == until->tv_sec && t.tv_nsec >= until->tv_nsec)) return ETIMEDOUT;
    nanosleep(&private_wait, NULL);
  }
}

static void hold(int i, mp_shm_handle h, int type) {
  handles[i] = h;
  blocks[i] = mp_shm_object_block(h, type);
}

/* --- queues --- */

static void make_queue(void) {
  mp_shm_handle h;
  CHECK(mp_shm_queue_new(0, MP_QUEUE_JOINABLE, &t_soon, &h) == 0);
  hold(0, h, MP_TYPE_QUEUE);
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &h) == 0);
  hold(1, h, MP_TYPE_MUTEX);
}

static size_t size_of(int i) { return i % 10 == 0 ? LONG : i % 3 == 0 ? 2048 : 16; }

static void put(int me, int i) {
  mp_shm_iovec iovec = {body[me], size_of(i)};
  mp_shm_outgoing m = {&iovec, 1, iovec.len, &handles[1], i % 5 == 0};
  body[me][0] = body[me][iovec.len / 8 - 1] = (uint64_t)i + 1;
  CHECK(mp_shm_queue_put(blocks[0], &m, &t_soon) == 0);
}

static void check_message(const mp_shm_incoming *g) {
  const uint64_t *p = g->data;
  CHECK(p[0] && p[0] == p[g->len / 8 - 1]);
}

/* Half of them put and half of them get: only the queue puts the one before the other. */
static void use_queue(int me) {
  mp_shm_incoming g;
  for (int i = 0; i < MANY; i++) {
    if (me % 2) {
      put(me, i);
      continue;
    }
    CHECK(mp_shm_queue_get(blocks[0], buffers[me], &g, &t_soon) == 0);
    check_message(&g);
    mp_shm_queue_done(&g);
    CHECK(mp_shm_joinable_done(blocks[0]) == 0);
  }
  if (me % 2) CHECK(mp_shm_joinable_join(blocks[0], &t_soon) >= 0);
}

static void lease_from_queue(int me) {
  mp_shm_incoming g;
  for (int i = 0; i < MANY; i++) {
    put(me, i);
    CHECK(mp_shm_queue_lease(blocks[0], &g, &t_soon) == 0);
    check_message(&g);
    if (i % 4 == 0) { /* and one for it, so that there is one for everybody */
      mp_shm_lease_give_back(&g);
      CHECK(mp_shm_queue_get(blocks[0], buffers[me], &g, &t_soon) == 0);
    }
    mp_shm_queue_done(&g);
  }
}

/* Ends, as a killed process would, with a message in hand. */
static void die_with_a_message(int me) {
  mp_shm_incoming g;
  put(me, me);
  CHECK(mp_shm_queue_lease(blocks[0], &g, &t_soon) == 0);
  check_message(&g);
}

/* --- locks --- */

static void make_mutex(void) {
  mp_shm_handle h;
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &h) == 0);
  hold(0, h, MP_TYPE_MUTEX);
}

static void use_mutex(int me) {
  for (int i = 0; i < MANY; i++) {
    CHECK(mp_shm_mutex_acquire(blocks[0], handles[0], &t_soon) >= 0);
    plain[i % WORDS] += (uint64_t)me;
    mp_shm_mutex_release(blocks[0], handles[0]);
  }
}

static void make_semaphore(void) {
  mp_shm_handle h;
  CHECK(mp_shm_semaphore_new(MP_SEMAPHORE_BOUNDED, 1, &t_soon, &h) == 0);
  hold(0, h, MP_TYPE_SEMAPHORE);
}

static void use_semaphore(int me) {
  for (int i = 0; i < MANY; i++) {
    CHECK(mp_shm_semaphore_acquire(blocks[0], &t_soon) == 0);
    plain[i % WORDS] += (uint64_t)me;
    CHECK(mp_shm_semaphore_release(blocks[0], 1, &t_soon) == 0);
  }
}

static void die_with_a_permit(int me) {
  CHECK(mp_shm_semaphore_acquire(blocks[0], &t_soon) == 0);
  (void)me;
}

static void make_rwlock(void) {
  mp_shm_handle h;
  CHECK(mp_shm_rwlock_new(&t_soon, &h) == 0);
  hold(0, h, MP_TYPE_RWLOCK);
}

static void use_rwlock(int me) {
  for (int i = 0; i < MANY; i++) {
    if (i % 4 == me) {
      CHECK(mp_shm_rwlock_write(blocks[0], handles[0], &t_soon) >= 0);
      plain[0]++;
      plain[1]++;
      mp_shm_rwlock_end_write(blocks[0], handles[0]);
    } else {
      CHECK(mp_shm_rwlock_read(blocks[0], &t_soon) >= 0);
      CHECK(plain[0] == plain[1]);
      mp_shm_rwlock_end_read(blocks[0]);
    }
  }
}

/* --- interleaving --- */

static void make_condition(void) {
  mp_shm_handle h;
  make_mutex();
  CHECK(mp_shm_condition_new(&t_soon, &h) == 0);
  hold(1, h, MP_TYPE_CONDITION);
}

/* Half of them make, half of them take. */
static void use_condition(int me) {
  bool abandoned;
  for (int i = 0; i < MANY; i++) {
    CHECK(mp_shm_mutex_acquire(blocks[0], handles[0], &t_soon) >= 0);
    if (me % 2) {
      plain[0]++;
      CHECK(mp_shm_condition_notify(blocks[1], handles[1], handles[0], 1, &t_soon) == 0);
    } else {
      while (plain[0] == 0)
        CHECK(mp_shm_condition_wait(blocks[1], handles[1], blocks[0], handles[0], &t_soon, &abandoned) == 0);
      plain[0]--;
    }
    mp_shm_mutex_release(blocks[0], handles[0]);
  }
}

static void make_event(void) {
  mp_shm_handle h;
  for (int i = 0; i < 2; i++) {
    CHECK(mp_shm_event_new(&t_soon, &h) == 0);
    hold(i, h, MP_TYPE_EVENT);
  }
}

/* One writes and sets, another reads and answers by setting the other event; the rest only wait. */
static void use_event(int me) {
  for (uint64_t i = 1; i <= MANY / 4 && me < 2; i++) {
    if (me) CHECK(mp_shm_event_wait(blocks[0], &t_soon) == 0 && plain[0] == i);
    plain[me] = i;
    if (me) mp_shm_event_clear(blocks[0]);
    mp_shm_event_set(blocks[me]);
    if (me) continue;
    CHECK(mp_shm_event_wait(blocks[1], &t_soon) == 0 && plain[1] == i);
    mp_shm_event_clear(blocks[1]);
  }
  for (int i = 0; i < 3 && me >= 2; i++) {
    mp_shm_wait w = {mp_os_now() + MP_MS, NULL, NULL};
    mp_shm_event_wait(blocks[0], &w);
  }
}

static void make_barrier(void) {
  mp_shm_handle h;
  CHECK(mp_shm_barrier_new(THREADS, &t_soon, &h) == 0);
  hold(0, h, MP_TYPE_BARRIER);
}

static void use_barrier(int me) {
  uint64_t index;
  for (uint64_t i = 1; i < MANY / 4; i++) {
    plain[me] = i;
    CHECK(mp_shm_barrier_wait(blocks[0], false, &t_soon, &index) == 0);
    for (int k = 0; k < THREADS; k++) CHECK(plain[k] == i);
    CHECK(mp_shm_barrier_wait(blocks[0], false, &t_soon, &index) == 0);
  }
}

/* --- the arena, numbers, ends --- */

static void make_array(void) {
  mp_shm_handle h;
  CHECK(mp_shm_array_new(MP_INTEGER, 0, WORDS, &t_soon, &h) == 0);
  hold(0, h, MP_TYPE_ARRAY);
}

static void use_array(int me) {
  uint64_t values[4] = {1, 2, 3, 4};
  mp_shm_elements *e = &((mp_shm_array *)blocks[0])->elements;
  for (uint64_t i = 0; i < MANY; i++) {
    mp_shm_elements_add64(e, 0, 1);
    mp_shm_elements_set(e, 1 + i % 3, i);
    mp_shm_elements_copy_in(e, 4, values, 4);
    if (mp_shm_elements_get(e, 4 + (uint64_t)me) > 4) CHECK(!"torn");
  }
}

static void make_nothing(void) {}

/* Objects come and go, so that slots and chunks pass from one process to another. */
static void use_directory(int me) {
  mp_shm_handle h, ends[2];
  for (int i = 0; i < MANY / 4; i++) {
    CHECK(mp_shm_queue_new(0, 0, &t_soon, &h) == 0);
    mp_shm_iovec iovec = {body[me], LONG};
    mp_shm_outgoing m = {&iovec, 1, LONG, NULL, 0};
    CHECK(mp_shm_queue_put(mp_shm_object_block(h, MP_TYPE_QUEUE), &m, &t_soon) == 0);
    CHECK(mp_shm_pipe_new(true, &t_soon, ends) == 0);
    CHECK(mp_shm_pipe_end_send(mp_shm_object_block(ends[0], MP_TYPE_PIPE_END), &m, &t_soon) == 0);
    mp_shm_object_unuse(ends[0]);
    mp_shm_object_unuse(h);
    mp_shm_object_unuse(ends[1]);
    if (i % 16 == 0) mp_shm_sweep();
  }
}

/* --- containers: readers take no lock, so only the words order what they see --- */

enum { KEYS = 300, SPLIT_AT = 100, TEXT = 24, COPY = 1 << 20 };

static _Alignas(8) char found[THREADS][MP_ITEM_ROOM], copies[THREADS][COPY];

static void make_dict(void) {
  const mp_shm_dict_options plain_one = {0};
  mp_shm_handle h;
  mp_shm_dict_split_at = SPLIT_AT;
  CHECK(mp_shm_dict_new(&plain_one, &t_soon, &h) == 0);
  hold(0, h, MP_TYPE_DICT);
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &h) == 0);
  hold(1, h, MP_TYPE_MUTEX);
}

static mp_shm_key key_of(const uint64_t *n) {
  return (mp_shm_key){n, 8, MP_ITEM_INTEGER, mp_shm_hash_word(*n, ((mp_shm_dict *)blocks[0])->seed)};
}

/* A text of one word again and again, or a number, or an object. */
static void set_key(uint64_t n, uint64_t word, int kind) {
  uint64_t text[TEXT];
  mp_shm_key k = key_of(&n);
  mp_shm_item v = {.type = MP_ITEM_INTEGER, .word = word};
  for (int i = 0; i < TEXT; i++) text[i] = word;
  if (kind == 1) v = (mp_shm_item){.type = MP_ITEM_STRING, .p = text, .n = sizeof text};
  if (kind == 2)
    v = (mp_shm_item){.type = MP_ITEM_MESSAGE, .p = &handles[1], .n = 8, .handles = &handles[1], .nhandles = 1};
  CHECK(mp_shm_dict_set(blocks[0], &k, &v, NULL, &t_soon) == 1);
}

static void get_key(int me, uint64_t n) {
  mp_shm_item v;
  mp_shm_key k = key_of(&n);
  if (!mp_shm_dict_get(blocks[0], &k, found[me], &v) || v.type != MP_ITEM_STRING) return;
  const uint64_t *text = v.p;
  for (int i = 1; i < TEXT; i++) CHECK(text[i] == text[0]);
}

static void walk_dict(int me) {
  uint64_t need;
  uint32_t mask = 0;
  for (uint32_t i = 0; i <= mask; i++)
    CHECK(mp_shm_dict_copy(blocks[0], i, copies[me], COPY, &mask, &need, &t_soon) >= 0);
}

static void use_dict(int me) {
  const mp_shm_item one = {.type = MP_ITEM_INTEGER, .word = 1}, zero = {.type = MP_ITEM_INTEGER};
  uint64_t hot = KEYS, random = (uint64_t)me + 1;
  mp_shm_item sum;
  mp_shm_dict_numbers numbers;
  for (int i = 0; i < 4 * MANY; i++) {
    random = random * UINT64_C(6364136223846793005) + 1;
    uint64_t n = (random >> 33) % KEYS;
    mp_shm_key k = key_of(&n), counter = key_of(&hot);
    set_key(n, random, i % 3);
    get_key(me, (random >> 40) % KEYS);
    CHECK(mp_shm_dict_add(blocks[0], &counter, &one, &zero, &sum, &t_soon) == 0);
    if (i % 4 == 0) CHECK(mp_shm_dict_delete(blocks[0], &k, &t_soon) >= 0);
    if (i % 64 == 0) walk_dict(me);
    if (i % 256 == 0) mp_shm_dict_stats(blocks[0], &numbers);
    if (i == 3 * MANY && me == 0) CHECK(mp_shm_dict_clear(blocks[0], &t_soon) == 0);
  }
}

/* What was written before a value was set may be read by who has got it: by a text, and by a number in its place. */
static void publish_by_dict(int me) {
  const uint64_t signal = 0;
  mp_shm_item v;
  mp_shm_key k = key_of(&signal);
  for (uint64_t i = 1; me == 0 && i <= WORDS; i++) {
    plain[i - 1] = i;
    set_key(signal, i, 0);
  }
  for (uint64_t seen = 0; me && seen < WORDS;) {
    seen = mp_shm_dict_get(blocks[0], &k, found[me], &v) ? v.word : 0;
    for (uint64_t i = 0; i < seen; i++) CHECK(plain[i] == i + 1);
  }
}

static void make_list(void) {
  mp_shm_handle h;
  CHECK(mp_shm_list_new(&t_soon, &h) == 0);
  hold(0, h, MP_TYPE_LIST);
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &h) == 0);
  hold(1, h, MP_TYPE_MUTEX);
}

static void use_list(int me) {
  mp_shm_item v;
  for (int i = 0; i < 2 * MANY; i++) {
    mp_shm_item two[2] = {{.type = MP_ITEM_INTEGER, .word = (uint64_t)i}, {.type = MP_ITEM_TRUE}};
    if (i % 5 == 0)
      two[1] = (mp_shm_item){.type = MP_ITEM_MESSAGE, .p = &handles[1], .n = 8, .handles = &handles[1], .nhandles = 1};
    CHECK(mp_shm_list_append(blocks[0], two, 2, &t_soon) == 0);
    if (i % 8 == 0) CHECK(mp_shm_list_insert(blocks[0], 0, &two[0], &t_soon) == 0);
    mp_shm_list_get(blocks[0], (uint64_t)i % 7, found[me], &v);
    mp_shm_list_get(blocks[0], MP_LIST_LAST, found[me], &v);
    CHECK(mp_shm_list_set(blocks[0], 0, &two[i % 2], NULL, &t_soon) == 1);
    for (int k = 0; k < 2; k++) CHECK(mp_shm_list_remove(blocks[0], k ? MP_LIST_LAST : 0, NULL, &t_soon) == 1);
    mp_shm_list_count(blocks[0]);
  }
}

/* --- running --- */

typedef struct scenario {
  const char *name;
  void (*make)(void);
  void (*use)(int me);
} scenario;

static const scenario scenarios[] = {
    {"a queue", make_queue, use_queue},
    {"leases", make_queue, lease_from_queue},
    {"deaths with a message", make_queue, die_with_a_message},
    {"a lock", make_mutex, use_mutex},
    {"a semaphore", make_semaphore, use_semaphore},
    {"deaths with a permit", make_semaphore, die_with_a_permit},
    {"a read-write lock", make_rwlock, use_rwlock},
    {"a condition", make_condition, use_condition},
    {"events", make_event, use_event},
    {"a barrier", make_barrier, use_barrier},
    {"an array", make_array, use_array},
    {"a dictionary", make_dict, use_dict},
    {"what was written before a set", make_dict, publish_by_dict},
    {"a list", make_list, use_list},
    {"objects that come and go", make_nothing, use_directory},
};

static const scenario *scenario_now;

static void *play(void *arg) {
  int me = (int)(intptr_t)arg;
  CHECK(mp_shm_attach() == 0);
  for (int i = 0; i < 2; i++)
    if (handles[i]) CHECK(mp_shm_object_use(handles[i], mp_shm_object_type_of(handles[i]), &t_soon) == 0);
  scenario_now->use(me);
  mp_os_mutex_holder_dies(&mp_shm_proc_at(mp_shm_my_slot)->life);
  return NULL;
}

static void run(const scenario *s) {
  pthread_t threads[THREADS];
  pthread_attr_t attr;
  t_what = s->name;
  t_deadline(30);
  scenario_now = s;
  memset(plain, 0, sizeof plain);
  memset(handles, 0, sizeof handles);
  s->make();
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, STACK); /* a thread's variables lie there, too */
  for (intptr_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], &attr, play, (void *)i) == 0);
  for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  pthread_attr_destroy(&attr);
  for (int i = 0; i < 2; i++)
    if (handles[i]) mp_shm_object_unuse(handles[i]);
  t_nothing_left();
}

int main(void) {
  t_start();
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) run(&scenarios[i]);
  printf("ok %zu\n", sizeof scenarios / sizeof *scenarios);
}
