/* SPDX-License-Identifier: MIT */
/*
 * A traced child that runs one instruction at a time.
 *
 * Who tries all points of an operation steps through the same instructions again and again: point k costs k steps. So the
 * first t_step of a child remembers the way that it went, by (function, t_what) of the child; the next child of the same that
 * shall go further runs freely up to a breakpoint near the end of that way, and is stepped from there on. An operation that
 * goes another way this time and ends before the breakpoint has been let run for nothing: that point is tried at its
 * end, t_step returns false, and the way is forgotten.
 */
#ifndef MP_CTEST_STEPPER_H
#define MP_CTEST_STEPPER_H

#include <stdbool.h>
#include <sys/types.h>

/* Forks a child that stops before f(arg). */
pid_t t_trace(void (*f)(void *), void *arg);
/* Has a child that is traced otherwise, and has not been stepped, remembered as one that t_trace has made for f. */
void t_follow(pid_t pid, void (*f)(void *));
/* Runs that many of its instructions. True when f has ended, or the child. */
bool t_step(pid_t pid, long steps);
/* Lets it run until f has ended. */
void t_finish(pid_t pid);
/* Kills and reaps it, or any child. */
void t_end(pid_t pid);

bool t_asleep(pid_t pid); /* in the kernel, wherever */
/* One instruction; false when it went to sleep instead. After t_block_sigchld. */
bool t_step_awake(pid_t pid);
void t_block_sigchld(void);

#endif
