#!/bin/bash
# SPDX-License-Identifier: MIT
# mutants.sh DIRECTORY [NAME...]: builds the C tests with the deliberate mutants of src/shm/arena/mutants.h in them, and runs
# them with each until one fails: first the one that is to catch it, then all others. Prints a table. A check that cannot
# fail is no check: fails when a mutant is not caught.
set -u

work=$1
shift
uncaught=0
known=$(sed -n 's/^  MP_MUTANT_\([A-Z_]*\),\{0,1\}.*/\1/p' src/shm/arena/mutants.h)
names=${*:-$(echo "$known" | grep -v -x -e NOTHING -e COUNT)}
all=$(cd ctest && find . -name '*_campaign_test.c' -o -name '*_kill_test.c' -o -name 'killpoints_test.c' -o -name 'wake_test.c' \
  -o -name 'woken_often_test.c' -o -path '*/container/*_interleaving_test.c' | sed 's#^\./##; s/\.c$//' | sort)

first_for() {
  case $1 in
    ROBUST | TOLD) echo lock_campaign_test ;;
    WAKE | PENDING) echo wake_test ;;
    LEASE) echo lease_kill_test ;;
    BATCH | DRAIN) echo queue_batch_kill_test ;;
    PER_PROCESS | MARK | PARTY) echo barrier_kill_test ;;
    TORN) echo rwlock_kill_test ;;
    END) echo pipe_kill_test ;;
    WATCH | ARM | LOOK) echo wait_set_kill_test ;;
    CLAIM | TARGET) echo semaphore_kill_test ;;
    TELL) echo event_kill_test ;;
    OFTEN) echo woken_often_test ;;
    VERSION | STILL | MENDED | MASK) echo container/dict_interleaving_test ;;
    SHAPE) echo container/list_interleaving_test ;;
    PART | FRESH | OLD) echo container/dict_stripes_kill_test ;;
    SLOT | COUNTED) echo container/dict_kill_test ;;
    RETIRED | WATCHED) echo container/dict_handles_kill_test ;;
    DIED) echo descriptor/descriptor_kill_test ;;
    *) echo killpoints_test ;;
  esac
}

# The first test that fails, and after how long. One that does not end has not failed: hangs are found by the tests.
caught_by() { # name
  local test status text began=$SECONDS first number
  number=$(($(echo "$known" | grep -n -x "$1" | cut -d: -f1) - 1))
  first=$(echo "$all" | grep -E "(^|/)$(first_for "$1")\$")
  for test in $first $(echo "$all" | grep -vx "$first"); do
    make -s BUILD="$work" CFLAGS='-O2 -DMP_MUTANTS' "$work/ctest/$test" >/dev/null || exit 1
    MP_MUTANT=$number MP_STRIDE=5 MP_OFFSET=2 MP_KILLS=500 setsid timeout -k 1 300 "$work/ctest/$test" >"$work/$1.log" 2>&1
    status=$?
    case $status in 0 | 124 | 137) continue ;; esac
    text=$(grep -v -e ' points$' -e '0 wakes lost$' -e MP_SEED -e 'planned kills' "$work/$1.log" | head -n 1)
    echo "${test##*/}|$((SECONDS - began))|${text:-status $status}"
    return
  done
}

printf '%-12s %-26s %5s  %s\n' mutant 'caught by' s 'which says'
for name in $names; do
  IFS='|' read -r test took text < <(caught_by "$name")
  printf '%-12s %-26s %5s  %.110s\n' "$name" "${test:-NOTHING}" "${took:--}" "${text:-}"
  [ -n "${test:-}" ] || uncaught=$((uncaught + 1))
done
echo "$uncaught not caught"
[ "$uncaught" -eq 0 ]
