/* SPDX-License-Identifier: MIT */
#include "interleaving.h"

/* True when the first had ended before. */
static bool meet_after(long steps, const t_interleaving *m) {
  t_point = steps;
  m->before();
  pid_t pid = t_trace(m->first, NULL);
  bool over = t_step(pid, steps);
  m->other();
  t_finish(pid);
  t_end(pid);
  mp_shm_sweep();
  m->after();
  return over;
}

long t_run_interleaving(const t_interleaving *m) {
  long points = 0;
  t_what = m->name;
  for (long k = t_first(); !meet_after(k, m); k += t_stride(), points++) t_deadline(20);
  printf("  %-48s %6ld points\n", m->name, points);
  return points;
}

void t_run_interleavings(const t_interleaving *m, size_t n) {
  long points = 0;
  for (size_t i = 0; i < n; i++) points += t_run_interleaving(&m[i]);
  printf("ok %ld\n", points);
}
