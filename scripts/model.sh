#!/bin/bash
# SPDX-License-Identifier: MIT
# model.sh DIRECTORY: runs every model of models/ with Spin, and its mutants. A line "@ pass FLAGS" or "@ fail FLAGS" in
# a model says what a run with those flags must come to. Fails when one comes to something else.
set -u

work=$(mkdir -p "$1" && cd "$1" && pwd)
failed=0

run() { # model, flags...: prints the count of errors
  local model=$1
  shift
  (cd "$work" && rm -f ./*.trail && spin "$@" -a "$model" >/dev/null && cc -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=4096 -o pan pan.c &&
    ./pan -m1000000 | sed -n 's/.*errors: \([0-9]*\).*/\1/p; s/^ *\([0-9.e+]*\) states, stored.*/\1/p' | tr '\n' ' ')
}

for model in models/*.pml; do
  while read -r expected flags; do
    # shellcheck disable=SC2086
    read -r errors states < <(run "$PWD/$model" $flags)
    came=fail
    [ "${errors:-x}" = 0 ] && came=pass
    [ -n "${errors:-}" ] || came=broken
    verdict=ok
    [ "$came" = "$expected" ] || { verdict=WRONG failed=1; }
    printf '%-6s %-24s %-36s %s, as expected: %s; %s states\n' "$verdict" "${model##*/}" "${flags:-}" "$came" "$expected" "${states:-?}"
  done < <(sed -n 's/^ \* @ \(pass\|fail\) \?\(.*\)/\1 \2/p' "$model")
done
exit "$failed"
