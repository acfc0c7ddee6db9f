#!/bin/bash
# SPDX-License-Identifier: MIT
# reach.sh DIRECTORY TARGET...: builds Lua and mproc for other systems and Luas, runs what can run here, prints one table.
# No TARGET: all. REACH_SPECS: "smoke" (the default: the smoke program and a few specs), "all", or files. LUA_SOURCES:
# folders with the sources of Lua releases besides Debian's own, which apt-get fetches. What is not to be had is said,
# and is no failure.
set -u

top=$PWD
work=$(mkdir -p "$1" && cd "$1" && pwd)
shift
wanted=${*:-}
failed=0
jobs=$(nproc)
tuple=$(gcc -print-multiarch 2>/dev/null)
[ -n "$tuple" ] || tuple=$(gcc -dumpmachine)
few="spec/regress/inherited_locks_spec.lua spec/regress/bare_system_spec.lua spec/sync/rwlock_deaths_spec.lua
  spec/sync/condition_deaths_spec.lua spec/number/value_spec.lua"

row() { # target, built with, what ran, outcome
  printf '%-14s %-44s %-28s %s\n' "$@"
}

# lua-5.5 stands for all of its releases.
is_wanted() {
  [ -z "$wanted" ] || case " $wanted " in *" $1 "* | *" ${1%.*} "*) true ;; *) false ;; esac
}

# --- sources ---

# Where this machine gets Debian's packages from.
debian_mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE '^[^#]*https?://[^ ]+/debian/?( |$)' |
    grep -oE 'https?://[^ ]+' | head -n 1
}

# A list of its own for apt, and the options that make apt-get use it and nothing else: debian FOLDER TYPE SUITES.
debian() {
  mkdir -p "$1/lists/partial" "$1/parts" "$1/packages/partial" && : >"$1/installed"
  printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$2" "$(debian_mirror)" "$3" \
    /usr/share/keyrings/debian-archive-keyring.gpg >"$1/parts/debian.sources"
  echo "-qq -y -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=$1/parts -o Dir::State::Lists=$1/lists" \
    "-o Dir::State::status=$1/installed -o Dir::Cache=$1 -o Dir::Cache::archives=$1/packages -o Debug::NoLocking=1"
}

# Sources of the Luas that Debian has today, stable and newest: what this machine has installed may be older than both.
fetch() {
  local state=$work/apt apt package
  [ ! -d "$work/source" ] || return 0
  mkdir -p "$work/source"
  apt="apt-get $(debian "$state" deb-src "oldstable stable testing")"
  (cd "$state" && $apt update && for package in lua5.4/oldstable lua5.4/stable lua5.4/testing lua5.5/testing \
    lua-filesystem/stable; do $apt source --download-only "$package"; done) >"$state/log" 2>&1
  for archive in "$state"/*.orig.tar.*; do
    case $archive in *.asc) ;; *) [ ! -e "$archive" ] || tar -xf "$archive" -C "$work/source" ;; esac
  done
}

# A folder's Lua: where lua.h is.
headers_of() { dirname "$(find -L "$1" -maxdepth 2 -name lua.h | head -n 1)"; }
version_of() { # folder with lua.h
  awk '/^#define[ \t]+LUA_VERSION_(MAJOR|MINOR|RELEASE)(_N)?[ \t]+"?[0-9]+"?/ { gsub(/"/, "", $3); v[$2] = $3 }
    END { for (p in v) if (p ~ /_N$/) { n = p; sub(/_N$/, "", n); v[n] = v[p] }
          print v["LUA_VERSION_MAJOR"] "." v["LUA_VERSION_MINOR"] "." v["LUA_VERSION_RELEASE"] }' "$1/lua.h"
}

sources() { # version and folder, a line each, newest last
  for folder in ${LUA_SOURCES:-} "$work"/source/lua-5*; do
    [ ! -e "$folder" ] || echo "$(version_of "$(headers_of "$folder")") $(headers_of "$folder")"
  done | sort -V
}

newest() { sources | grep "^5\.4\." | tail -n 1; }

# --- an interpreter, the modules that busted needs, mproc ---

# target, folder of the sources, compiler: $work/TARGET gets bin/lua, include, lib
build_lua() {
  local out=$work/$1 source=$2 cc=$3
  [ ! -x "$out/bin/lua" ] || return 0
  mkdir -p "$out/include" "$out/lib" "$out/bin" "$out/obj"
  cp "$source"/{lua,luaconf,lualib,lauxlib}.h "$out/include"
  for file in "$source"/l*.c; do
    case ${file##*/} in luac.c | ltests.c) ;; *) echo "$file" ;; esac
  done | xargs -P "$jobs" -I '{}' sh -c "$cc -O1 -std=gnu99 -DLUA_USE_LINUX -w -c -o $out/obj/\$(basename '{}' .c).o '{}'" &&
    $cc -o "$out/bin/lua" "$out"/obj/*.o -Wl,-E -ldl -lm &&
    for lfs in "$work"/source/lua-filesystem*/src/lfs.c; do
      sed 's/LUA_VERSION_NUM <= 504/LUA_VERSION_NUM <= 505/' "$lfs" >"$out/obj/lfs.c"
      $cc -O1 -fPIC -shared -w -I"$out/include" -I"${lfs%/*}" -o "$out/lib/lfs.so" "$out/obj/lfs.c"
    done
}

# Debian's busted and Penlight assign to variables of loops, which Lua 5.5 does not let them.
share_for_5_5() {
  [ ! -d "$1/share" ] || return 0
  local from
  for from in /usr/share/lua/5.4/pl /usr/share/lua/5.4/busted; do
    mkdir -p "$1/share" && cp -rL "$from" "$1/share/"
  done
  sed -i -E 's/\<for ([a-z_]+), *([a-z_]+) in (.*) do *$/for \1__, \2__ in \3 do local \1, \2 = \1__, \2__/
    s/\<for ([a-z_]+) in (.*) do *$/for \1__ in \2 do local \1 = \1__/' "$1"/share/pl/*.lua "$1"/share/busted/modules/files/*.lua
}

# target, compiler, goal...: make in the target's folder
in_make() {
  local out=$work/$1 cc=$2
  shift 2
  unset MAKEFLAGS MFLAGS MAKELEVEL
  LUA_PATH="$out/share/?.lua;$out/share/?/init.lua;$top/scripts/reach/?.lua;/usr/share/lua/5.4/?.lua;/usr/share/lua/5.4/?/init.lua;" \
    LUA_CPATH="$out/lib/?.so;" make -s -j"$jobs" BUILD="$out/build" CC="$cc" WARNINGS=-Wall CFLAGS="${cflags:--O1}" \
    LUA="$out/bin/lua" BUSTED="$top/scripts/reach/busted" LUA_INCDIR="$out/include" "$@"
}

# Specs that do not build with the machine's own compiler and Lua. (Those that want a module that only the machine's Lua
# can load are pending.)
specs() {
  case ${REACH_SPECS:-smoke} in
    all) ;;
    smoke) echo $few && return ;;
    *) echo "$REACH_SPECS" && return ;;
  esac
  find spec -name '*_spec.lua' ! -path 'spec/big/*' ! -name build_spec.lua ! -name install_spec.lua ! -name rock_spec.lua |
    sort | tr '\n' ' '
}

# target, compiler: builds and runs; its row
try() {
  local out=$work/$1 cc=$2 with
  with="$(${cc%% *} -dumpmachine) gcc $(${cc%% *} -dumpversion), Lua $(version_of "$out/include")"
  if ! in_make "$1" "$cc" all >"$out/make.log" 2>&1; then
    failed=1
    row "$1" "$with" - "DOES NOT BUILD: $out/make.log"
  elif ! smoke "$out" >"$out/smoke.log" 2>&1; then
    failed=1
    row "$1" "$with" smoke "FAILED: $out/smoke.log"
  elif ! SPEC_SECONDS=${SPEC_SECONDS:-600} in_make "$1" "$cc" test SPECS="$(specs)" >"$out/specs.log" 2>&1; then
    failed=1
    row "$1" "$with" "smoke, specs" "FAILED: $(tail -n 2 "$out/specs.log" | head -n 1): $out/specs.log"
  else
    row "$1" "$with" "smoke, $(specs | wc -w) spec files" "$(tail -n 1 "$out/specs.log")"
  fi
}

smoke() { # folder of the target
  LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="$1/build/?.so;;" timeout 60 "$1/bin/lua" spec/support/smoke.lua
}

# --- the targets ---

native() { # target, compiler, "version folder"
  is_wanted "$1" || return 0
  if ! command -v "${2%% *}" >/dev/null || ! echo 'int main(void) { return 0; }' | $2 -x c -o "$work/probe" - 2>/dev/null; then
    row "$1" "$2" - "not to be had here: the compiler"
  elif [ -z "$3" ]; then
    row "$1" "$2" - "not to be had here: the sources of Lua"
  elif ! mkdir -p "$work/$1" || ! build_lua "$1" "${3#* }" "$2" >"$work/$1/lua.log" 2>&1; then
    failed=1
    row "$1" "$2" - "LUA DOES NOT BUILD: $work/$1/lua.log"
  else
    case ${3%% *} in 5.5*) share_for_5_5 "$work/$1" ;; esac
    case ${3%% *} in 5.4.[0-3]) refuses "$1" "$2" ;; *) try "$1" "$2" ;; esac
  fi
}

# A release that mproc refuses by its name.
refuses() {
  local out=$work/$1
  in_make "$1" "$2" all >"$out/make.log" 2>&1
  if smoke "$out" 2>&1 | grep -qF "mproc needs Lua 5.4.4 or newer, and this is Lua $(version_of "$out/include")"; then
    row "$1" "gcc $(gcc -dumpversion)" require "is refused, as it should be"
  else
    failed=1
    row "$1" "gcc $(gcc -dumpversion)" require "IS NOT REFUSED"
  fi
}

# target, compiler, one -march after the other: compiles and links; of these the first, unless all is asked for
compiles() {
  local target=$1 cc=$2 version source outcome=compiles
  shift 2
  is_wanted "$target" || return 0
  command -v "$cc" >/dev/null || { row "$target" "$cc" - "not to be had here: the compiler"; return; }
  read -r version source < <(newest)
  [ -n "${version:-}" ] || { row "$target" "$cc" - "not to be had here: the sources of Lua"; return; }
  mkdir -p "$work/$target/include" && cp "$source"/{lua,luaconf,lualib,lauxlib}.h "$work/$target/include"
  [ "${REACH_SPECS:-smoke}" = all ] || set -- "$1"
  for march; do
    cflags="-O1 $march" in_make "$target" "$cc" WERROR=1 all >"$work/$target/make.log" 2>&1 && continue
    failed=1
    outcome="DOES NOT COMPILE with $march: $work/$target/make.log"
    break
  done
  row "$target" "$($cc -dumpmachine) gcc $($cc -dumpversion), Lua $version" "$*" "$outcome"
}

. scripts/reach/system.sh

fetch
mkdir -p "$work/kernel" # the system's headers, for a C library that comes without
for part in linux asm-generic; do ln -sfn "/usr/include/$part" "$work/kernel/$part"; done
ln -sfn "/usr/include/$tuple/asm" "$work/kernel/asm"

row target "built with" ran outcome
while read -r version source; do
  native "lua-$version" gcc "$version $source"
done < <(sources)
for name in $wanted; do
  case $name in lua-*) sources | grep -q "^${name#lua-}[. ]" || row "$name" gcc - "not to be had here: the sources of Lua" ;; esac
done
native own-lock "gcc -DMP_OS_OWN_TIMED_LOCK" "$(newest)"
native musl "musl-gcc -idirafter $work/kernel" "$(newest)"
native i386 "gcc -m32 -Wno-psabi -idirafter /usr/include/$tuple" "$(newest)"
compiles arm64 aarch64-linux-gnu-gcc -march=armv8-a "-march=armv8-a -mno-outline-atomics" -march=armv8.1-a -march=armv8.4-a
compiles riscv64 riscv64-linux-gnu-gcc -march=rv64gc
compiles armhf arm-linux-gnueabihf-gcc -march=armv7-a+fp
system arm64-system arm64 linux-image-cloud-arm64 aarch64-linux-gnu-gcc qemu-system-aarch64 \
  "-machine virt -cpu max,pauth-impdef=on,lpa2=off" ttyAMA0
system riscv64-system riscv64 linux-image-riscv64 riscv64-linux-gnu-gcc qemu-system-riscv64 "-machine virt" ttyS0
exit "$failed"
