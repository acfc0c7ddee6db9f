#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds lua-cmsgpack for `make bench` from the source of Debian's redis, which has it: there is no package of it.
# Usage: bench-cmsgpack.sh TARGET.so CC LUA_INCLUDE. Nothing of the system is changed.
set -eu

target=$1 cc=$2 include=$3
[ ! -e "$target" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The system's own lists, as lists of sources.
mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial"
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
  case $list in
  *.list) [ ! -e "$list" ] || sed -n 's/^deb /deb-src /p' "$list" >"$work/parts/$(basename "$list")" ;;
  *.sources) sed 's/^Types:.*/Types: deb-src/' "$list" >"$work/parts/$(basename "$list")" ;;
  esac
done
apt() {
  apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts" \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
cd "$work"
apt update >/dev/null 2>&1 || true # one list without sources does not matter
apt source --download-only redis >/dev/null
tar -xzf redis_*.orig.tar.gz
cp redis-*/deps/lua/src/lua_cmsgpack.c . # away from the headers of its own Lua
cd - >/dev/null
mkdir -p "$(dirname "$target")"
"$cc" -O2 -w -fPIC -shared -I"$include" -o "$target" "$work/lua_cmsgpack.c"
