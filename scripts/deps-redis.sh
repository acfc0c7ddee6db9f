#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what the rock mproc-redis and its specs need on a Debian or Ubuntu; silent when nothing is missing.
set -eu
. "$(dirname "$0")/packages.sh"

command -v redis-server >/dev/null || need redis-server
command -v openssl >/dev/null || need openssl
[ -e /usr/include/hiredis/hiredis.h ] || need libhiredis-dev
lua_can socket || need lua-socket
lua_can ssl || need lua-sec

only_with_apt deps-redis "a Redis or Valkey server (for the specs), openssl, hiredis with its headers, LuaSocket and LuaSec for Lua 5.4"
read_lists

# shellcheck disable=SC2086
install_packages $missing
