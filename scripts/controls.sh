#!/bin/bash
# SPDX-License-Identifier: MIT
# controls.sh DIRECTORY [NAME...]: builds the C tests with each deliberate breakage of src/os/broken.h and runs them until one fails.
# A check that cannot fail is no check: fails when a breakage is not caught.
set -u

work=$1
shift
uncaught=0
names=${*:-$(sed -n 's/^  MP_BREAK_\([A-Z]*\),.*/\1/p' src/os/broken.h | grep -v -e NOTHING -e COUNT)}
tests=$(cd ctest && ls ./*_kill_test.c killpoints_test.c wake_test.c campaign_test.c | sed 's|^./||; s/\.c$//')

# The first test that fails, and how long that took.
caught_by() { # directory
  local test began=$SECONDS
  for test in $tests; do
    if ! MP_STRIDE=5 MP_OFFSET=2 MP_SECONDS=5 setsid timeout -k 1 300 "$1/ctest/$test" >"$1/$test.log" 2>&1; then
      echo "$test, $((SECONDS - began)) s: $(grep -v 'kill points$' "$1/$test.log" | head -n 1)"
      return
    fi
  done
}

printf '%-14s %s\n' breakage 'caught by'
for name in $names; do
  build=$work/$name
  make -s BUILD="$build" CFLAGS="-O2 -DMP_BREAK=MP_BREAK_$name" $(for t in $tests; do echo "$build/ctest/$t"; done) >/dev/null || exit 1
  by=$(caught_by "$build")
  printf '%-14s %s\n' "$name" "${by:-NOTHING}"
  [ -n "$by" ] || uncaught=$((uncaught + 1))
done
echo "$uncaught not caught"
[ "$uncaught" -eq 0 ]
