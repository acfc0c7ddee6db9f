/* SPDX-License-Identifier: MIT */
/*
 * A model of the condition (src/shm/sync/condition.c) for Spin: two waiters that take items, one of which may leave a wait at
 * its time's end; a notifier that makes two items; and a kill of any of the three at any step. When nothing can go on any
 * more, no item may be left: somebody would wait for ever. `make model` runs it, and its mutants, which must fail:
 *
 * @ pass
 * A wake that is left out; a pending cell that names nobody; a sleeper that does not look again once it has armed its word:
 * @ fail -DNO_WAKE
 * @ fail -DNO_PENDING
 * @ fail -DNO_SECOND_LOOK
 * A dead waiter's notification that goes to nobody, also when it had come to hold the lock again:
 * @ fail -DNO_PASS
 * @ fail -DNO_TAKEN
 *
 * A slice is modelled where it is needed: a sleeper looks up by itself only when there is a dead waiter to reap for, or
 * when the notifier was dead before it slept, for the kernel rings for those alone who sleep already. So a wake that is
 * lost is a deadlock here, though it would cost 100 ms only.
 */
#define WAITERS 2
#define NOTIFIER 2
#define NOBODY 255

mtype = { OUT, WAITING, GIVEN, TAKEN }
typedef cell_t {
  mtype state;
  byte ticket
}

byte lock = NOBODY, m = NOBODY, pending = NOBODY;
byte ticket, upto, items;
cell_t cell[WAITERS]; /* each one word */
bool armed[WAITERS], inkernel[WAITERS], late[WAITERS], dead[3];
bool made;
byte leaves = 1; /* how often the second waiter's time may end */

#define waits(i) (cell[i].state == WAITING && cell[i].ticket > upto)
#define notified(i) (cell[i].state == GIVEN || (cell[i].state == WAITING && cell[i].ticket <= upto))
#ifdef NO_TAKEN
#define owes(i) notified(i)
#else
#define owes(i) (notified(i) || cell[i].state == TAKEN)
#endif
#define living(i) (waits(i) && !dead[i])
#define unreaped(i) (dead[i] && cell[i].state != OUT)

inline acquire(l, me) {
  atomic { l == NOBODY -> l = me }
}

/* oldest living one that waits, or NOBODY; under m */
inline choose(q) {
  atomic {
    q = NOBODY;
    if
    :: living(0) && (!living(1) || cell[0].ticket < cell[1].ticket) -> q = 0
    :: living(1) && (!living(0) || cell[1].ticket < cell[0].ticket) -> q = 1
    :: else
    fi
  }
}

/* a store by `me` that q waits for, named in the pending cell before it, and the wake */
inline ring(q, won) {
#ifndef NO_WAKE
  atomic { won = armed[q]; armed[q] = false }
  if
  :: won -> inkernel[q] = false
  :: else
  fi
#endif
  skip
}

inline reap(p, q, won, me) {
  acquire(m, me);
  if
  :: owes(p) ->
#ifndef NO_PASS
     do
     :: choose(q);
        if
        :: q == NOBODY -> break
        :: else ->
           atomic { won = waits(q); if :: won -> cell[q].state = GIVEN :: else fi }
           if
           :: won -> ring(q, won); break
           :: else
           fi
        fi
     od
#endif
     skip
  :: else
  fi;
  cell[p].state = OUT;
  m = NOBODY
}

proctype waiter(byte me) provided (!dead[me]) {
  byte q, mine;
  bool won, over;
end:
  do
  :: acquire(lock, me);
     do
     :: items > 0 -> break
     :: else ->
wait_again:
        mine = ticket + 1;
        ticket = mine;
        atomic { cell[me].state = WAITING; cell[me].ticket = mine }
        lock = NOBODY;
        over = false;
        do
        :: notified(me) -> break
        :: else ->
#ifdef NO_SECOND_LOOK
           skip; /* looks before it arms, and not after */
#endif
           armed[me] = true;
#ifndef NO_SECOND_LOOK
           if
           :: notified(me) -> armed[me] = false; break
           :: else
           fi;
#endif
           atomic { inkernel[me] = armed[me]; late[me] = dead[NOTIFIER] }
           if
           :: !inkernel[me]
           :: unreaped(1 - me) || late[me] -> inkernel[me] = false
           :: me == 1 && leaves > 0 -> atomic { leaves--; inkernel[me] = false; over = true }
           fi;
           armed[me] = false;
           if
           :: over -> break
           :: unreaped(1 - me) -> reap(1 - me, q, won, me)
           :: else
           fi
        od;
        acquire(lock, me);
        if
        :: upto >= cell[me].ticket -> won = false
        :: else ->
           atomic { won = cell[me].state == WAITING; if :: won -> cell[me].state = OUT :: else fi }
        fi;
        if
        :: won -> goto wait_again /* its time is over, and it looks at nothing: as one that does not loop would */
        :: else -> cell[me].state = TAKEN
        fi
     od;
     items--;
     cell[me].state = OUT;
     lock = NOBODY
  od
}

inline notify(q, won) {
  acquire(m, NOTIFIER);
  atomic { /* forget_dead */
    if :: waits(0) && dead[0] -> cell[0].state = OUT :: else fi;
    if :: waits(1) && dead[1] -> cell[1].state = OUT :: else fi
  }
  choose(q);
  if
  :: q == NOBODY -> atomic { upto = ticket; items++ }
  :: else ->
#ifndef NO_PENDING
     pending = q;
#endif
     atomic { upto = cell[q].ticket; items++ } /* the item goes with the commit: none is left untold */
     ring(q, won);
     pending = NOBODY
  fi;
  m = NOBODY
}

proctype notifier() provided (!dead[NOTIFIER]) {
  byte q, n;
  bool won;
  do
  :: n == 2 -> break
  :: else ->
     acquire(lock, NOTIFIER);
     notify(q, won);
     lock = NOBODY;
     n++
  od;
  made = true
}

/* SIGKILL: the kernel gives its locks on, and rings for the word in its pending cell. */
proctype killer() {
  byte who;
  if
  :: who = 0
  :: who = 1
  :: who = NOTIFIER
  :: goto nobody
  fi;
  atomic {
    dead[who] = true;
    if :: lock == who -> lock = NOBODY :: else fi;
    if :: m == who -> m = NOBODY :: else fi;
    if :: who == NOTIFIER && pending != NOBODY -> inkernel[pending] = false :: else fi
  }
nobody:
  skip
}

/* At the end of everything. */
proctype judge() {
  bool still;
  timeout -> assert(items == 0 && (made || dead[NOTIFIER]));
  do /* the dead stay where they are: that is no deadlock */
  :: still = !still
  od
}

init {
  atomic {
    cell[0].state = OUT;
    cell[1].state = OUT;
    run waiter(0);
    run waiter(1);
    run notifier();
    run killer();
    run judge()
  }
}
