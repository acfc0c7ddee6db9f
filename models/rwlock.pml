/* SPDX-License-Identifier: MIT */
/*
 * A model of the read-write lock (src/shm/sync/rwlock.c) for Spin: READERS and WRITERS, each ROUNDS times, KILLS of them
 * killed anywhere. A sleep ends when what it waits for is there, or, with LATE, at any time: wakes are the wait queue's
 * matter (queue.pml).
 * No write may meet a read or another write, nobody waits for ever, and that the last writer died while it wrote is told to
 * all who come until one writes. `make model` runs it, and its mutants, which must fail:
 *
 * @ pass -DREADERS=1 -DWRITERS=1 -DLATE
 * @ pass -DREADERS=2 -DWRITERS=1 -DLATE -DROUNDS=1
 * @ pass -DREADERS=1 -DWRITERS=2 -DLATE -DROUNDS=1
 * @ pass -DREADERS=1 -DWRITERS=1 -DKILLS=2 -DROUNDS=1
 * @ pass -DREADERS=2 -DWRITERS=1 -DKILLS=1 -DROUNDS=1
 * @ pass -DREADERS=1 -DWRITERS=2 -DKILLS=1 -DROUNDS=1
 * A reader that does not look again once its cell says that it reads; a grant that is taken back without asking whether it
 * was taken up; one that is given when the next writer may have looked:
 * @ fail -DREADERS=1 -DWRITERS=1 -DNO_SECOND_LOOK
 * @ fail -DREADERS=1 -DWRITERS=2 -DTAKE_BACK_BLINDLY
 * @ fail -DREADERS=1 -DWRITERS=2 -DGIVE_LATE
 * A death that is not told; a dead reader that a writer waits for; a dead writer that readers wait for:
 * @ fail -DREADERS=1 -DWRITERS=2 -DKILLS=1 -DNOT_TOLD
 * @ fail -DREADERS=1 -DWRITERS=1 -DKILLS=1 -DNO_SETTLE -DNO_LIFE
 * @ fail -DREADERS=1 -DWRITERS=1 -DKILLS=1 -DNO_SETTLE -DNO_RECOVERY
 */
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef KILLS
#define KILLS 0
#endif
#define ALL (READERS + WRITERS)
#define NOBODY 255

mtype = { NOTHING, READS, WAITS, GIVEN }; /* in a cell */

byte m = NOBODY; /* the writers' mutex */
bool abandoned;
byte phase; /* gate: four fields that change together */
bool closed, writes, torn;
mtype cell[ALL] = NOTHING;
bool killed[ALL], dead[ALL];
byte kills;
/* what is asserted */
byte reading, writing;
bool mess; /* the last writer has died while it wrote */
bool owed; /* or in its release */

#ifdef NO_LIFE
#define lives(p) true
#else
#define lives(p) (!dead[p])
#endif
#define in_the_way(p) ((cell[p] == READS || cell[p] == GIVEN) && lives(p))

inline give() {
  p = 0;
  do
  :: p < ALL -> atomic { if :: cell[p] == WAITS -> cell[p] = GIVEN :: else fi }; p++
  :: p == ALL -> break
  od;
  p = 0
}

inline open_gate(t) {
#ifndef GIVE_LATE
  give();
#endif
  atomic { phase++; torn = t; closed = false; writes = false }
}

inline unlock() {
  m = NOBODY
#ifdef GIVE_LATE
  ;
  give()
#endif
}

inline recover() {
  atomic {
    if
    :: m == NOBODY -> m = me; was = abandoned; abandoned = false; got = true
    :: else -> got = false
    fi
  };
  if
  :: got && was && closed ->
#ifndef NOT_TOLD
    atomic { torn = torn || writes; writes = false };
#endif
    open_gate(torn);
    unlock()
  :: got && !(was && closed) -> m = NOBODY
  :: !got
  fi
}

/* got: it reads */
inline read_acquire() {
  got = false;
  late = false;
  do
  :: got || late -> break
  :: else ->
    d_step { seen = closed; at = phase };
    if
    :: !seen ->
      cell[me] = READS;
#ifdef NO_SECOND_LOOK
      got = true
#else
      d_step { seen = closed; at = phase };
      if :: !seen -> got = true :: else -> cell[me] = NOTHING fi
#endif
    :: else
    fi;
    if
    :: got
    :: else ->
      cell[me] = WAITS;
      if
      :: cell[me] != WAITS || phase != at
#ifndef NO_RECOVERY
      :: abandoned
#endif
#ifdef LATE
      :: late = true
#endif
      fi;
      do
      :: atomic { cell[me] == WAITS -> cell[me] = NOTHING; break }
      :: atomic { cell[me] == GIVEN -> cell[me] = READS; got = true; late = false; break }
      od;
#ifndef NO_RECOVERY
      if :: !got && !late && abandoned -> recover(); got = false :: else fi
#endif
    fi
  od;
  assert(!got || !mess || torn);
  assert(!got || !torn || owed)
}

inline await_no_reader() {
  p = 0;
  do
  :: p < ALL && !in_the_way(p) -> p++
  :: p < ALL && in_the_way(p) ->
    if
    :: !in_the_way(p) -> p = 0
    :: !taken_back ->
      taken_back = true;
      p = 0;
      do
#ifdef TAKE_BACK_BLINDLY
      :: p < ALL -> if :: cell[p] == GIVEN -> cell[p] = WAITS :: else fi; p++
#else
      :: p < ALL -> atomic { if :: cell[p] == GIVEN -> cell[p] = WAITS :: else fi }; p++
#endif
      :: p == ALL -> break
      od;
      p = 0
#ifdef LATE
    :: late = true; break
#endif
    fi
  :: p == ALL -> break
  od;
  p = 0
}

/* got: it writes */
inline write_acquire() {
  got = false;
  late = false;
  taken_back = false;
  if
  :: atomic { m == NOBODY -> m = me; abandoned = false }
#ifdef LATE
  :: late = true
#endif
  fi;
  if
  :: late
  :: else ->
    atomic { /* close_gate: nobody else changes it */
#ifndef NOT_TOLD
      torn = torn || writes;
#endif
      closed = true;
      writes = false
    };
    await_no_reader();
    if
    :: late -> seen = torn; open_gate(seen); unlock()
    :: else ->
      atomic {
        assert(torn || !mess);
        assert(!torn || owed);
        mess = false;
        owed = false;
        torn = false;
        writes = true;
        got = true
      }
    fi
  fi
}

/* What the system does at a death: the mutex goes on, abandoned. */
inline die() {
  atomic {
    if :: m == me && writes -> owed = true :: else fi;
    if :: m == me -> m = NOBODY; abandoned = true :: else fi;
    if :: inside && me >= READERS -> mess = true :: else fi;
    if :: inside && me < READERS -> reading-- :: inside && me >= READERS -> writing-- :: else fi;
    inside = false;
    dead[me] = true
  }
}

proctype reader(byte me) {
  byte round, p, at;
  bool got, late, seen, was, inside;
  {
    do
    :: round < ROUNDS ->
      read_acquire();
      if
      :: got ->
        atomic { reading++; inside = true; assert(writing == 0) };
        atomic { reading--; inside = false };
        cell[me] = NOTHING
      :: else
      fi;
      round++
    :: round == ROUNDS -> break
    od
  } unless {
    killed[me]
  };
  die()
}

proctype writer(byte me) {
  byte round, p;
  bool got, late, seen, taken_back, inside;
  {
    do
    :: round < ROUNDS ->
      write_acquire();
      if
      :: got ->
        atomic { writing++; inside = true; assert(writing == 1 && reading == 0) };
        atomic { writing--; inside = false };
        open_gate(false);
        unlock()
      :: else
      fi;
      round++
    :: round == ROUNDS -> break
    od
  } unless {
    killed[me]
  };
  die()
}

/* The sweep that finds a dead process. */
proctype reaper(byte whose) {
  byte p;
  byte me = ALL + whose;
  bool got, was;
end:
  killed[whose] && dead[whose];
#ifndef NO_SETTLE
  cell[whose] = NOTHING;
  if :: abandoned -> recover() :: else fi
#endif
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
    atomic { if :: !dead[i] && !killed[i] -> killed[i] = true; kills++ :: else fi }
  :: break
  od
}

init {
  atomic {
    byte i = 0;
    do
    :: i < READERS -> run reader(i); run reaper(i); i++
    :: i >= READERS && i < ALL -> run writer(i); run reaper(i); i++
    :: i == ALL -> break
    od;
    run killer()
  }
}
