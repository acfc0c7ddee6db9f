/* SPDX-License-Identifier: MIT */
/* Scenes with sleepers of many kinds. The contracts stand in witness.h. */
#define _GNU_SOURCE
#include "witness.h"

#include <string.h>
#include <unistd.h>

#define PAUSE_US 50
#define SURELY_ASLEEP 3 /* seen so often in a row: a lock may be slept on for a moment */

static pid_t pids[T_SLEEPERS];

void t_witness(int i, void (*f)(t_sleeper *)) {
  t_sleeper *s = &t_sleepers[i];
  pids[i] = t_sleep(s, f);
  for (int seen = 0; seen < SURELY_ASLEEP && !s->woken; usleep(PAUSE_US)) seen = t_asleep(pids[i]) ? seen + 1 : 0;
}

pid_t t_witness_pid(int i) { return pids[i]; }
void t_witness_end(int i) { t_end(pids[i]); }

void t_witness_end_all(int n) {
  for (int i = 0; i < n; i++) t_witness_end(i);
}

int t_witness_judge(int n) {
  bool young = true;
  uint64_t since = mp_os_now();
  for (int i = 0; i < n; i++) young = young && (t_young(&t_sleepers[i]) || t_sleepers[i].woken);
  for (int i = 0; i < n; i++)
    if (!t_woken_by(&t_sleepers[i], since + T_PROMPT)) return young ? T_LATE : T_SLOW;
  return T_IN_TIME;
}

int t_witness_result(int i) {
  t_woken_by(&t_sleepers[i], MP_FOREVER);
  return t_sleepers[i].result;
}

int t_try_witnessed(const void *witnessed, long k, bool *done) {
  const t_witnessed *o = witnessed;
  t_deadline(30);
  o->before();
  pid_t killed = t_trace(o->run, NULL);
  if (o->starts_late) t_run_to_stop(killed);
  if (o->meanwhile) o->meanwhile();
  *done = t_step(killed, k);
  t_end(killed);
  return o->after(*done);
}

long t_run_witnessed(const t_witnessed *list, size_t n, const char *part) {
  long lost = 0;
  for (size_t i = 0; i < n; i++)
    if (!part || strstr(list[i].name, part)) lost += t_run_points(list[i].name, t_try_witnessed, &list[i]);
  return lost;
}
