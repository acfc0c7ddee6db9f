#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs, on a Debian or Ubuntu, what `make bench` compares mproc with, and gnuplot for its charts. What the system's
# lists lack is left out; so does the benchmark.
set -eu
. "$(dirname "$0")/packages.sh"

wanted="python3 parallel mawk libmce-perl ruby ruby-parallel lua-luv lua-cqueues lua-messagepack lua-cjson luajit gnuplot-nox
  redis-server lua-socket libhash-sharedmem-perl python3-lmdb"
for name in $wanted; do
  dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || need "$name"
done
only_with_apt bench-deps "$wanted"
read_lists

packages=
for name in $missing; do
  if available "$name"; then
    packages="$packages $name"
  else
    echo "not to be had here: $name"
  fi
done
# shellcheck disable=SC2086
install_packages $packages
