#!/bin/bash
# SPDX-License-Identifier: MIT
# killpoints.sh LOGS PROGRAM...: runs C tests that kill at chosen instructions, all of them unless MP_STRIDE says otherwise, and
# adds up the points that they tell. Fails with the first test that does.
set -u

logs=$1 total=0
shift
mkdir -p "$logs"
export MP_STRIDE=${MP_STRIDE:-1} MP_OFFSET=${MP_OFFSET:-0}

for program in "$@"; do
  log=$logs/${program##*/}.log
  if ! "$program" >"$log" 2>&1; then
    cat "$log"
    echo "FAIL ${program##*/}"
    exit 1
  fi
  points=$(sed -n 's/^  .* \([0-9][0-9]*\) kill points.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
  [ "$points" -eq 0 ] || printf '%-28s %8d kill points\n' "${program##*/}" "$points" # some kill nobody
  total=$((total + points))
done
printf '%-28s %8d kill points\n' total "$total"
