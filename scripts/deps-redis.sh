#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what the rock mproc-redis and its specs need on a Debian or Ubuntu; silent when nothing is missing.
set -eu

lua_can() {
  command -v lua5.4 >/dev/null && lua5.4 -e "require '$1'" >/dev/null 2>&1
}

missing=
need() {
  missing="$missing $1"
}

command -v redis-server >/dev/null || need redis-server
command -v openssl >/dev/null || need openssl
[ -e /usr/include/hiredis/hiredis.h ] || need libhiredis-dev
lua_can socket || need lua-socket
lua_can ssl || need lua-sec

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "make deps-redis knows apt-get only. Please install, by the names your system gives them:" >&2
  echo "  a Redis or Valkey server (for the specs), openssl, hiredis with its headers, LuaSocket and LuaSec for Lua 5.4" >&2
  echo "missing here:$missing" >&2
  exit 1
fi

root=
[ "$(id -u)" -eq 0 ] || root=sudo
apt() {
  $root env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

# A fresh container has no package lists at all.
LC_ALL=C apt-cache policy redis-server 2>/dev/null | grep -q 'Candidate: [^(]' || apt -qq update

echo "installing:$missing"
# shellcheck disable=SC2086
apt -qq -y --no-install-recommends install $missing >/dev/null
