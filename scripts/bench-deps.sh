#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs, on a Debian or Ubuntu, what `make bench` compares mproc with, and gnuplot for its charts. What the system's
# lists lack is left out; so does the benchmark.
set -eu

command -v apt-get >/dev/null || {
  echo "make bench-deps knows apt-get only" >&2
  exit 1
}

wanted="python3 parallel mawk libmce-perl ruby ruby-parallel lua-luv lua-cqueues lua-messagepack lua-cjson luajit gnuplot-nox
  redis-server lua-socket libhash-sharedmem-perl python3-lmdb"
missing=
for name in $wanted; do
  if dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed'; then
    :
  elif LC_ALL=C apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [^(]'; then
    missing="$missing $name"
  else
    echo "not to be had here: $name"
  fi
done
[ -n "$missing" ] || exit 0

root=
[ "$(id -u)" -eq 0 ] || root=sudo
echo "installing:$missing"
$root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing >/dev/null
