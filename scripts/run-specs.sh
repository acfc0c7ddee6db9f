#!/bin/bash
# SPDX-License-Identifier: MIT
# run-specs.sh SUMMARY SPEC...: runs each spec file with busted, in a process group of its own that a deadline ends
# (SPEC_SECONDS). A file that crashes, hangs, counts nothing or leaves a process behind is one failure more.
# With SPEC_AGAIN=N, up to N files with failed tests are run once more; one that passes then is called unsteady and
# counts as its second run does. (A crash, a hang or a process left behind gets no second run.) What failed is kept in
# SUMMARY-failures as well.
# The last line, also written to SUMMARY, is "N passed, N failed"; without a passed test the run fails.
set -u

summary=$1
shift
seconds=${SPEC_SECONDS:-120}
lua=$(command -v "${LUA:-lua5.4}")
logs=$(dirname "$summary")/spec-logs
mkdir -p "$logs"
failures=$summary-failures
rm -f "$failures"
again=${SPEC_AGAIN:-0}
passed=0 failed=0 pending=0 group=
trap '[ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null; exit 130' INT TERM

# The group empties by itself within five seconds, or something was left behind. (A fork server ends some tenths of a second
# after its tree, and is init's to reap, which in some containers looks every two seconds.)
settled() {
  for _ in {1..100}; do
    kill -0 -- "-$1" 2>/dev/null || return 0
    sleep 0.05
  done
  return 1
}

# Runs one file; its counts are in here_passed, here_failed and here_pending, what happened is on stdout and in its log.
run() { # file
  log=$logs/$(echo "${1%.lua}" | tr / -).log
  counts=$log.counts
  rm -f "$counts" "$counts.now"
  began=$SECONDS
  SPEC_COUNTS=$counts setsid timeout -k 5 "$seconds" \
    "${BUSTED:-busted}" --lua="$lua" --helper=spec/support/start_method.lua -o spec/support/report.lua "$1" >"$log" 2>&1 </dev/null &
  group=$!
  wait "$group"
  status=$?
  here_passed=0 here_failed=0 here_pending=0
  [ ! -e "$counts" ] || read -r here_passed here_failed here_pending <"$counts"
  said=
  if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    fail "$1" "ended by the deadline of $seconds s in: $(cat "$counts.now" 2>/dev/null)"
  elif [ ! -e "$counts" ]; then
    fail "$1" "crashed with status $status in: $(cat "$counts.now" 2>/dev/null)"
  elif [ "$status" -ne 0 ] && [ "$here_failed" -eq 0 ]; then
    fail "$1" "exit status $status"
  fi
  settled "$group" || fail "$1" "left processes running"
  kill -KILL -- "-$group" 2>/dev/null
  group=
  report "$1"
}

fail() { # file, what happened
  here_failed=$((here_failed + 1))
  said=$said$(printf 'FAIL  %s: %s' "$1" "$2")$'\n'
}

report() { # file
  word=ok
  if [ "$here_failed" -gt 0 ]; then
    word=FAIL
    { cat "$log"; printf '%s' "$said"; } | tee -a "$failures"
  fi
  printf '%-5s %-34s %4d passed %3d failed %3d pending %4d s\n' \
    "$word" "$1" "$here_passed" "$here_failed" "$here_pending" $((SECONDS - began))
}

for spec in "$@"; do
  run "$spec"
  if [ "$here_failed" -gt 0 ] && [ -z "$said" ] && [ "$again" -gt 0 ]; then
    again=$((again - 1))
    echo "once more:"
    run "$spec"
    [ "$here_failed" -gt 0 ] || echo "unsteady: $spec failed, and passed when it ran again" | tee -a "$failures"
  fi
  passed=$((passed + here_passed)) failed=$((failed + here_failed)) pending=$((pending + here_pending))
done

[ "$pending" -eq 0 ] || echo "$pending pending"
echo "$passed passed, $failed failed" | tee "$summary"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
