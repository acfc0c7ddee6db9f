/* SPDX-License-Identifier: MIT */
/* Which breakage a build for `make mutants` has; nothing in any other. */
#include "shm/arena/mutants.h"

#if defined(MP_MUTANTS)
#include <stdlib.h>

int mp_shm_active_mutant;

__attribute__((constructor)) static void choose(void) {
  const char *number = getenv("MP_MUTANT");
  mp_shm_active_mutant = number ? atoi(number) : MP_MUTANT_NOTHING;
}
#endif
