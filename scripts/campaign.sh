#!/bin/bash
# SPDX-License-Identifier: MIT
# campaign.sh LOGS KILLS SECONDS COMMAND...: runs each campaign (campaign.h, pool_campaign.lua) for its share of the kills, or,
# unless that is empty, of the seconds; prints one table of what they found. Fails when one of them does.
set -u

logs=$1 kills=$2 seconds=$3
shift 3
mkdir -p "$logs"
failed=0 total_kills=0 total_planned=0 began=$(date +%s)
share() { echo $((($1 + $2 - 1) / $2)); }

export MP_KILLS MP_SECONDS
MP_KILLS=$(share "${kills:-0}" $#)
MP_SECONDS=$(share "${seconds:-0}" $#)

line='%-11s %12s %8s %8s %10s %5s %6s %5s %11s\n'
# shellcheck disable=SC2059
row() { printf "$line" "$@"; }

row users operations kills planned abandoned lost twice hung 'slowest ms'
for command in "$@"; do
  log=$logs/$(basename "${command##* }").log
  # shellcheck disable=SC2086
  setsid timeout -k 5 "${CAMPAIGN_SECONDS:-3600}" $command >"$log" 2>&1
  status=$?
  found=$(sed -n 's/^campaign: \([a-z ]*\); \([0-9]*\) operations, \([0-9]*\) kills, \([0-9]*\) planned, \([0-9]*\) abandoned, \([0-9]*\) lost, \([0-9]*\) twice, \([0-9]*\) hung, \([0-9]*\) ms$/\1 \2 \3 \4 \5 \6 \7 \8 \9/p' "$log")
  # shellcheck disable=SC2086
  [ -z "$found" ] || row $found
  # shellcheck disable=SC2086
  set -- $found
  total_kills=$((total_kills + ${3:-0})) total_planned=$((total_planned + ${4:-0}))
  if [ "$status" -ne 0 ] || [ -z "$found" ]; then
    failed=$((failed + 1))
    echo "FAIL $command, status $status:"
    tail -n 20 "$log"
  fi
done
echo "$total_kills kills, $total_planned of them at planned points, in $(($(date +%s) - began)) s; $failed campaigns failed"
[ "$failed" -eq 0 ]
