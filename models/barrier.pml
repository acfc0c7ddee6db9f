/* SPDX-License-Identifier: MIT */
/*
 * A model of the barrier (src/shm/sync/barrier.c) for Spin: processes that wait ROUNDS times, one that aborts or resets, KILLS of
 * them killed anywhere. A sleep ends when what it waits for is there, or, with LATE, at any time: wakes are the wait queue's
 * matter (queue.pml). Every generation must have one fate, all who were counted in it must leave with that fate, each
 * released with an index of its own, and nobody waits for ever. `make model` runs it, and its mutants, which must fail:
 *
 * @ pass -DMEDDLER
 * @ pass -DMEDDLER -DACTS
 * @ pass -DLATE -DROUNDS=1 -DMEDDLER
 * @ pass -DLATE -DACTS -DN=3 -DPARTIES=2 -DROUNDS=1
 * @ pass -DKILLS=1
 * @ pass -DKILLS=1 -DACTS
 * @ pass -DKILLS=1 -DMEDDLER -DROUNDS=1
 * @ pass -DKILLS=1 -DN=3 -DROUNDS=1
 * @ pass -DLATE -DN=3 -DROUNDS=1
 * A reset that marks nobody lets those pass who were broken:
 * @ fail -DMEDDLER -DNO_MARK
 * So does a cell that is stored after its process was counted:
 * @ fail -DMEDDLER -DCELL_AFTER
 * A death that nobody reaps leaves others waiting; one who makes no way for a reset cut short would, too:
 * @ fail -DKILLS=1 -DNO_SETTLE
 * @ fail -DKILLS=1 -DMEDDLER -DROUNDS=1 -DNO_HELP
 */
#ifndef N
#define N 2
#endif
#ifndef PARTIES
#define PARTIES N
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifdef MEDDLER
#define ALL (N + 1)
#else
#define ALL N
#endif
#define GENS 12

mtype = { OPEN, BROKEN, RESETTING };          /* phases */
mtype = { NOTHING, IN, MARKED };              /* in a cell */
mtype = { UNDECIDED, RELEASED, BROKE };       /* the fate of a generation */
mtype = { WAITING, FIRST, TIMEOUT, SHUT, GO }; /* what a wait came to */

byte gen, came;
mtype phase = OPEN;
mtype cell[ALL] = NOTHING;
byte cell_gen[ALL];
bool dead[ALL], killed[ALL];
byte kills;
/* what is asserted */
mtype fate[GENS] = UNDECIDED;
byte taken[GENS]; /* indexes given away, as bits */

inline decide(g, f) {
  assert(fate[g] == UNDECIDED);
  fate[g] = f
}

/* The CAS from what was seen (tg, tc, tp) to another phase of the same generation. */
inline break_gen(g) {
  do
  :: atomic { gen == g && phase == OPEN -> decide(g, BROKE); phase = BROKEN; ok = true; break }
  :: atomic { else -> ok = false; break }
  od
}

inline finish_reset(g) {
#ifndef NO_MARK
  p = 0;
  do
  :: p < ALL ->
    atomic { if :: cell[p] == IN && cell_gen[p] == g -> cell[p] = MARKED :: else fi };
    p++
  :: p == ALL -> break
  od;
#endif
  atomic { if :: gen == g && phase == RESETTING -> gen = g + 1; came = 0; phase = OPEN :: else fi };
  p = 0
}

inline find_dead(g) {
  p = 0;
  lost = false;
  do
  :: p < ALL -> lost = lost || (dead[p] && cell[p] == IN && cell_gen[p] == g); p++
  :: p == ALL -> break
  od;
  p = 0
}

inline put_cell(g) {
  atomic { cell[me] = IN; cell_gen[me] = g }
}

inline release(g) {
  decide(g, RELEASED);
  assert(came + 1 >= PARTIES);
  gen = g + 1;
  came = 0
}

/* arrive(): WAITING, FIRST (the last one, who acts), GO (the last one, who does not), SHUT, or TIMEOUT */
inline arrive() {
  outcome = WAITING;
  counted = false;
  do
  :: counted || outcome != WAITING -> break
  :: else ->
    d_step { tg = gen; tc = came; tp = phase };
    if
    :: tp == BROKEN -> outcome = SHUT
#ifdef NO_HELP
    :: tp == RESETTING -> (gen != tg || phase != RESETTING)
#else
    :: tp == RESETTING -> finish_reset(tg)
#endif
    :: tp == OPEN && tc == PARTIES ->
      find_dead(tg);
      if
      :: lost -> break_gen(tg)
      :: !lost ->
        if
        :: gen != tg || came != tc || phase != tp
#ifdef LATE
        :: outcome = TIMEOUT
#endif
        fi
      fi
    :: tp == OPEN && tc < PARTIES ->
#ifndef CELL_AFTER
      put_cell(tg);
#endif
      lost = false;
      if :: tc + 1 == PARTIES -> find_dead(tg) :: else fi;
      if
      :: lost -> break_gen(tg)
      :: else ->
        atomic {
          if
          :: gen == tg && came == tc && phase == tp ->
            counted = true;
            assert(!(taken[tg] & (1 << tc)));
            taken[tg] = taken[tg] | (1 << tc);
#ifdef ACTS
            came = tc + 1;
            if :: came == PARTIES -> outcome = FIRST :: else fi
#else
            if :: tc + 1 == PARTIES -> release(tg); outcome = GO :: else -> came = tc + 1 fi
#endif
          :: else
          fi
        }
      fi;
#ifdef CELL_AFTER
      if :: counted -> put_cell(tg) :: else fi;
#else
      if :: !counted -> cell[me] = NOTHING :: else fi;
#endif
    fi
  od
}

/* The fate as the waiter reads it: turn first, then its cell. */
inline learn() {
  moved = gen != tg;
  outcome = (moved && cell[me] == IN && cell_gen[me] == tg -> GO : SHUT);
  cell[me] = NOTHING
}

inline wait() {
  arrive();
  if
  :: outcome == WAITING ->
    if
    :: (gen != tg || phase != OPEN) -> learn()
#ifdef LATE
    :: break_gen(tg);
      if :: ok -> outcome = TIMEOUT; cell[me] = NOTHING :: else -> learn() fi
#endif
    fi
  :: outcome == FIRST ->
    find_dead(tg);
    if :: lost -> break_gen(tg) :: else fi;
    atomic {
      if
      :: gen == tg && came == PARTIES && phase == OPEN -> decide(tg, RELEASED); gen = tg + 1; came = 0; outcome = GO
      :: else -> outcome = SHUT
      fi
    };
    cell[me] = NOTHING
  :: outcome == GO -> cell[me] = NOTHING
  :: else
  fi;
  assert(!counted || outcome != GO || fate[tg] == RELEASED);
  assert(!counted || outcome == GO || fate[tg] == BROKE)
}

proctype party(byte me) {
  byte round, tg, tc, p;
  mtype tp, outcome;
  bool counted, lost, ok, moved;
  {
    do
    :: round < ROUNDS ->
      wait();
      round++;
      if :: outcome == SHUT || outcome == TIMEOUT -> break :: else fi
    :: round == ROUNDS -> break
    od
#if PARTIES != N
    ;
    break_gen(gen) /* who is left would wait for nobody */
#endif
  } unless {
    killed[me]
  };
  dead[me] = true
}

/* Aborts, or resets and lets those who come again be broken in the end. */
proctype meddler(byte me) {
  byte tg, tc, p;
  mtype tp;
  bool ok;
  {
    do
    :: d_step { tg = gen; tc = came; tp = phase };
      if
      :: tp == RESETTING -> finish_reset(tg); break
      :: else ->
        ok = false;
        atomic {
          if
          :: gen == tg && came == tc && phase == tp ->
            if :: phase == OPEN -> decide(tg, BROKE) :: else fi;
            phase = RESETTING;
            ok = true
          :: else
          fi
        };
        if :: ok -> finish_reset(tg); break :: else fi
      fi
    :: break
    od
  } unless {
    killed[me]
  };
  dead[me] = true
}

/* Nothing moves any more: those who still wait may only wait for one who has left, and not in the barrier. */
inline check_stuck() {
  left = 0;
  p = 0;
  do
  :: p < ALL ->
    assert(!(dead[p] && cell[p] == IN && cell_gen[p] == gen && phase == OPEN));
    left = left + (p < N && dead[p] -> 1 : 0);
    p++
  :: p == ALL -> break
  od;
  assert(left > 0 && (left == N || phase != RESETTING))
}

/* The sweep that finds a dead process. */
proctype reaper(byte whose) {
  byte p, g;
  bool ok;
end:
  killed[whose] && dead[whose];
#ifndef NO_SETTLE
  if :: cell[whose] == IN -> g = cell_gen[whose]; break_gen(g) :: else fi;
  cell[whose] = NOTHING
#endif
}

/* Breaks what those wait for who wait for one who has left. */
proctype watch() {
  byte p, left;
  bool ok;
end:
  do
  :: timeout -> check_stuck(); break_gen(gen); if :: !ok -> break :: else -> p = 0 fi
  od
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
    :: i < N -> run party(i); run reaper(i); i++
    :: i == N -> break
    od;
#ifdef MEDDLER
    run meddler(N);
    run reaper(N);
#endif
    run watch();
    run killer()
  }
}
