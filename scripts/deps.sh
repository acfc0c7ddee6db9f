#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what building, testing and checking need on a Debian or Ubuntu; silent when nothing is missing.
set -eu
. "$(dirname "$0")/packages.sh"

clang_has_fuzzer() {
  command -v clang >/dev/null && [ -n "$(find "$(clang -print-resource-dir)" -name 'libclang_rt.fuzzer*' 2>/dev/null | head -n 1)" ]
}

command -v gcc >/dev/null || need gcc
[ -e /usr/include/stdio.h ] || need libc6-dev
command -v make >/dev/null || need make
command -v lua5.4 >/dev/null || need lua5.4
[ -e /usr/include/lua5.4/lua.h ] || need liblua5.4-dev
{ command -v busted >/dev/null && lua_can busted.runner; } || need lua-busted
command -v luacheck >/dev/null || need lua-check
lua_can luv || need lua-luv
lua_can cqueues || need lua-cqueues
lua_can socket || need lua-socket
lua_can copas || [ -e /usr/share/lua/5.2/copas.lua ] || need lua-copas # any Lua's: specs look there
command -v luarocks >/dev/null || need luarocks
command -v clang >/dev/null || need clang
command -v clang-format-14 >/dev/null || clang-format --version 2>/dev/null | grep -q 'version 14\.' || need clang-format-14
clang_has_fuzzer || need clang-fuzzer
command -v groff >/dev/null || need groff-base
command -v python3 >/dev/null || need python3
command -v git >/dev/null || need git
command -v musl-gcc >/dev/null || need musl-tools # these two for make reach
command -v aarch64-linux-gnu-gcc >/dev/null || need cross-arm64

only_with_apt deps "a C compiler, GNU make, Lua 5.4 with its headers, busted, luv, cqueues, LuaSocket, copas, luacheck,
  luarocks, clang and clang-format 14 with libFuzzer and groff (for make check), Python 3 (for make bench),
  musl-gcc and a compiler for arm64 (for make reach)"
read_lists

# The fuzzer's runtime is a package of its own on newer releases and part of libclang-common on older ones.
fuzzer_package() {
  version=$(LC_ALL=C apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
  for name in "libclang-rt-$version-dev" "libclang-common-$version-dev"; do
    if available "$name"; then
      echo "$name"
      return
    fi
  done
}

packages=
for name in $missing; do
  case $name in
    clang-fuzzer) name=$(fuzzer_package) ;;
    clang-format-14) available clang-format-14 || name= ;;
    musl-tools) available musl-tools || name= ;;
    cross-arm64)
      name="gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
      [ "$(uname -m)" = x86_64 ] && available gcc-aarch64-linux-gnu || name=
      ;;
  esac
  packages="$packages${name:+ $name}"
done
# shellcheck disable=SC2086
install_packages $packages
