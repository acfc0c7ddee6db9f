/* SPDX-License-Identifier: MIT */
/*
 * A model of put, get and wait queue (src/shm/queue/put.c and get.c, src/shm/wait/wait_queue.c) for Spin: two producers
 * and two consumers, KILLS of them killed anywhere. `make model` runs it, and its mutants, which must fail:
 *
 * Without kills sleeps have no end, and no wake may be lost; the store without the wake, or a sleeper that looks before
 * it arms the wait queue, must deadlock:
 * @ pass -DKILLS=0
 * @ fail -DKILLS=0 -DNO_WAKE
 * @ fail -DKILLS=0 -DLOOK_FIRST
 * With two kills and slices no death stops a survivor; a lock that its dead owner keeps must:
 * @ pass -DKILLS=2 -DSLICES -DMESSAGES=1
 * @ fail -DKILLS=2 -DSLICES -DMESSAGES=1 -DNOT_ROBUST
 * One kill and no slices must fail too: the system wakes who sleeps when a ringer dies, not who is about to sleep. It is
 * why sleeps have slices:
 * @ fail -DKILLS=1
 */
#define PRODUCERS 2
#define CONSUMERS 2
#define ALL 4
#ifndef KILLS
#define KILLS 2
#endif
#ifndef MESSAGES
#define MESSAGES 2 /* by each producer */
#endif
#define NOBODY 255
#ifdef SLICES
#define SLICE true
#else
#define SLICE false
#endif

byte producers = NOBODY, consumers = NOBODY, turn = NOBODY; /* who holds each lock */
byte tail, head;                                            /* put and delivered: the two committing words */
bool armed;                                                 /* the wait queue's word */
bool asleep[ALL];                                           /* in the futex */
bool pending[ALL];                                          /* this process names the wait queue's word */
bool killed[ALL], gone[ALL];
byte kills;
byte working = PRODUCERS;

#define lock(m) atomic { m == NOBODY -> m = me }
#define unlock(m) m = NOBODY

inline wake() {
  atomic {
    byte i = 0;
    do
    :: i < ALL && asleep[i] -> asleep[i] = false; break
    :: i < ALL && !asleep[i] -> i++
    :: i == ALL -> break
    od;
    i = 0
  }
}

/* What the kernel does at a death: robust locks go on, and one sleeper on the named word is woken. */
inline release_robust() {
  atomic {
    gone[me] = true;
    asleep[me] = false;
#ifndef NOT_ROBUST
    if :: producers == me -> producers = NOBODY :: else fi;
    if :: consumers == me -> consumers = NOBODY :: else fi;
    if :: turn == me -> turn = NOBODY :: else fi;
#endif
    if :: pending[me] -> wake() :: else fi;
    pending[me] = false
  }
}

inline ring() {
#ifndef NO_WAKE
  if
  :: atomic { armed -> armed = false }; wake()
  :: !armed
  fi
#else
  skip
#endif
}

inline put() {
  lock(producers);
  pending[me] = true;
  tail++; /* the commit */
  ring();
  pending[me] = false;
  unlock(producers)
}

proctype producer(byte me) {
  byte n = 0;
  {
    do
    :: n < MESSAGES -> put(); n++
    :: n == MESSAGES -> break
    od
  } unless {
    killed[me]
  };
  release_robust();
  working--
}

#define over (working == 0 && head == tail)

inline sleep() {
  pending[me] = true;
#ifdef LOOK_FIRST
  bool there = head < tail;
  armed = true;
  if
  :: there
  :: !there -> asleep[me] = armed; (!asleep[me] || over || SLICE)
  fi;
#else
  armed = true;
  if
  :: head < tail
  :: head == tail -> asleep[me] = armed; (!asleep[me] || over || SLICE)
  fi;
#endif
  armed = false;
  pending[me] = false
}

proctype consumer(byte me) {
  {
    do
    :: over -> break
    :: !over ->
      lock(consumers);
      if
      :: head < tail -> head++; /* the commit */ unlock(consumers)
      :: head == tail ->
        unlock(consumers);
        lock(turn);
        do
        :: head < tail || over -> break
        :: else -> sleep()
        od;
        unlock(turn)
      fi
    od
  } unless {
    killed[me]
  };
  release_robust()
}

proctype killer() {
  byte i;
  do
  :: kills < KILLS ->
    i = 0;
    do
    :: i < ALL - 1 -> i++
    :: break
    od;
    atomic { if :: !gone[i] && !killed[i] -> killed[i] = true; kills++ :: else fi }
  :: break
  od
}

init {
  atomic {
    run producer(0);
    run producer(1);
    run consumer(2);
    run consumer(3);
    run killer()
  }
}
