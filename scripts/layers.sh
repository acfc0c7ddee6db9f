#!/bin/sh
# SPDX-License-Identifier: MIT
# Dependencies flow downwards only: os <- shm, codec <- bind <- lua. Fails and names the line that does not.
set -u

failed=0
forbid() { # rule, pattern, files...
  rule=$1 pattern=$2
  shift 2
  if found=$(grep -rnE --include='*.[ch]' "$pattern" "$@" 2>/dev/null); then
    failed=1
    printf '%s:\n%s\n' "$rule" "$found" >&2
  fi
}

include='^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]'
forbid 'os and shm do not know Lua' "$include(lua|lauxlib|lualib|compat)" src/os src/shm
forbid 'os knows no other layer' "$include(shm|codec|bind)/" src/os
forbid 'shm knows os only' "$include(codec|bind)/" src/shm
forbid 'the codec knows neither os nor shm' "$include(os|shm|bind)/" src/codec
forbid 'only src/bind and src/mproc.c include bind headers' "$include[^>\"]*bind\\.h" src/os src/shm src/codec
forbid 'no file includes a .c file' "$include[^>\"]*\\.c[>\"]" src

version=$(grep -rlE --include='*.[ch]' 'LUA_VERSION_NUM' src | grep -v '/compat\.h$')
[ -z "$version" ] || {
  failed=1
  printf 'LUA_VERSION_NUM stands in compat.h alone:\n%s\n' "$version" >&2
}

platform='^[[:space:]]*#[[:space:]]*(el)?if.*(__linux__|__APPLE__|__FreeBSD__|__x86_64__|__i386__|__aarch64__|__GLIBC__|_WIN32)'
forbid 'platform conditions stand in src/os alone' "$platform" src/shm src/codec src/bind src/mproc.c

exit "$failed"
