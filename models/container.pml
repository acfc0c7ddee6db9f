/* SPDX-License-Identifier: MIT */
/*
 * A model of a container's get beside set, a new table and recovery (src/shm/container) for Spin: two writers of one key, one
 * of which may be killed anywhere; a reader without lock; and somebody who writes into whatever memory is free. `make model`
 * runs it, and its mutants, which must fail. Orders of memory are not modelled: stripe.h argues them.
 *
 * A reader answers what the key had at some moment while it read, whoever dies:
 * @ pass -DKILLS=0
 * @ pass -DKILLS=1
 * It must look at the version again; the version must grow with each new table, before the old one is free; and first of
 * all in recovery, which uses space of the log again:
 * @ fail -DKILLS=0 -DNO_CHECK
 * @ fail -DKILLS=0 -DNO_VERSION
 * @ fail -DKILLS=0 -DFREE_FIRST
 * @ fail -DKILLS=1 -DRECOVER_LATE
 * And the entry must be whole before its slot names it:
 * @ fail -DKILLS=0 -DSLOT_FIRST
 */
#ifndef KILLS
#define KILLS 1
#endif
#define CHUNKS 2
#define ENTRIES 2
#define GARBAGE 7
#define NOBODY 255
#define FREE 0
#define OURS 1
#define OTHERS 2
#define SETS 2 /* by each writer */
#define READS 1

byte entry[4];     /* CHUNKS * ENTRIES values */
byte slot[CHUNKS]; /* the key's entry in that table */
byte claimed[CHUNKS]; /* whose it is: 0 is nobody's */
byte table, version, end_; /* end_: where the next entry goes */
byte lock_ = NOBODY;
bool dead[2];
byte kills, value;  /* value: the last that was committed */
byte during;        /* a bit for each value that the key has had since the read began */
byte next = 1;      /* values are 1 to 6, each once */

#define AT(c, i) entry[(c) * ENTRIES + (i)]
#define MAY_DIE if :: kills < KILLS -> kills++; dead[id] = true; goto end :: true fi

inline commit(v) {
  value = v;
  during = during | (1 << v)
}

inline grow() { version = (version + 1) % 64 }

/* The key moves to the other chunk, which was free. */
inline new_table() {
  atomic { claimed[1 - table] == FREE -> claimed[1 - table] = OURS }
  MAY_DIE;
  AT(1 - table, 0) = AT(table, slot[table]);
  slot[1 - table] = 0;
  MAY_DIE;
  table = 1 - table;
#ifdef FREE_FIRST
  claimed[1 - table] = FREE;
#endif
  MAY_DIE;
#ifndef NO_VERSION
  grow();
#endif
  MAY_DIE;
  claimed[1 - table] = FREE;
  end_ = 1
}

/* What lies behind the live entry is used again. */
inline recover() {
#ifndef RECOVER_LATE
  grow();
#endif
  if :: claimed[1 - table] == OURS -> claimed[1 - table] = FREE :: else fi;
  end_ = slot[table] + 1
}

proctype writer(byte id) {
  byte n, v;
  do
  :: n < SETS ->
    atomic {
      lock_ == NOBODY || (lock_ < 2 && dead[lock_]);
      if :: lock_ != NOBODY -> lock_ = id; v = GARBAGE :: else -> lock_ = id; v = 0 fi
    }
    if :: v == GARBAGE -> recover() :: else fi;
    if :: end_ == ENTRIES -> new_table() :: else fi;
    MAY_DIE;
    atomic { v = next; next++ }
#ifdef SLOT_FIRST
    slot[table] = end_;
    MAY_DIE;
    atomic { AT(table, end_) = v; commit(v) }
#else
    AT(table, end_) = v;
    MAY_DIE;
    atomic { slot[table] = end_; commit(v) }
#endif
    MAY_DIE;
    end_++;
    lock_ = NOBODY;
    n++
  :: else -> break
  od;
end:
  skip
}

proctype reader() {
  byte n, seen, t, s, v;
  do
  :: n < READS ->
    atomic { during = 1 << value; seen = version }
again:
    seen = version;
    t = table;
    s = slot[t];
    v = AT(t, s % ENTRIES);
#ifndef NO_CHECK
    if :: version != seen -> goto again :: else fi;
#endif
    assert(v != GARBAGE && (during & (1 << v)) != 0);
    n++
  :: else -> break
  od
}

/* Has free memory, and gives it back. */
proctype other() {
  byte c, times;
  do
  :: times < 2 ->
    end_other:
    atomic { if :: claimed[0] == FREE -> c = 0 :: claimed[1] == FREE -> c = 1 fi; claimed[c] = OTHERS }
    slot[c] = 1;
    AT(c, 0) = GARBAGE;
    AT(c, 1) = GARBAGE;
    claimed[c] = FREE;
    times++
  :: break
  od
}

init {
  atomic {
    claimed[0] = OURS;
    AT(0, 0) = 0;
    value = 0;
    end_ = 1;
    run writer(0);
    run writer(1);
    run reader();
    run other()
  }
}
