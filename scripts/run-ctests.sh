#!/bin/bash
# SPDX-License-Identifier: MIT
# run-ctests.sh SUMMARY PROGRAM...: runs each C test under a deadline in a process group of its own. A program
# prints "ok N" (N checks held) and exits with 0; anything else is one failure, kept in SUMMARY-failures as well. A campaign tells its kills. Writes "N passed, N failed" to SUMMARY.
set -u

summary=$1
shift
passed=0 failed=0 kills=0 spent=0 group=
mkdir -p "$(dirname "$summary")"
log=$summary.log
failures=$summary-failures
rm -f "$failures"
trap '[ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null; exit 130' INT TERM

for program in "$@"; do
  began=$SECONDS
  setsid timeout -k 5 "${CTEST_SECONDS:-600}" "$program" >"$log" 2>&1 &
  group=$!
  wait "$group"
  status=$?
  kill -KILL -- "-$group" 2>/dev/null
  group=
  count=$(sed -n 's/^ok \([0-9][0-9]*\).*/\1/p' "$log" | tail -n 1)
  if [ "$status" -eq 0 ] && [ -n "$count" ] && [ "$count" -gt 0 ]; then
    passed=$((passed + count))
    killed=$(sed -n 's/^campaign: .* \([0-9][0-9]*\) kills.*/\1/p' "$log")
    kills=$((kills + ${killed:-0}))
    [ -z "$killed" ] || spent=$((spent + SECONDS - began))
    printf 'ok    %-34s %s%s\n' "${program##*/}" "$count" "${killed:+, $killed kills}"
  else
    failed=$((failed + 1))
    {
      cat "$log"
      [ "$status" -ne 124 ] && [ "$status" -ne 137 ] || echo "the deadline ended it"
      printf 'FAIL  %-34s status %s\n' "${program##*/}" "$status"
    } | tee -a "$failures"
  fi
done

rm -f "$log"
[ "$kills" -eq 0 ] || echo "$kills kills in campaigns, in $spent s: nothing lost, nothing twice, no hang"
echo "$passed passed, $failed failed" | tee "$summary"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
