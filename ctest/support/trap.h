/* SPDX-License-Identifier: MIT */
/* A process that ends itself after a number of its instructions, for tests; without a tracer, which would slow it down. */
#ifndef MP_CTEST_TRAP_H
#define MP_CTEST_TRAP_H

#include <stdatomic.h>
#include <stdint.h>

/* SIGKILLs this process after that many more instructions, which *count counts. Where the processor has no such trap:
 * after as many nanoseconds, and nothing is counted. */
void t_die_after(uint32_t steps, _Atomic uint32_t *count);

#endif
