#!/bin/bash
# SPDX-License-Identifier: MIT
# layers.sh [BUILD]: the order of the folders of src/. A folder may include, and call, only what stands below it; the
# names it gives to others begin with its own. Fails and names what does not hold. BUILD/obj/src holds the objects.
set -u

build=${1:-build}
failed=0

complain() { # rule, what was found
  [ -n "$2" ] || return
  failed=1
  printf '%s:\n%s\n' "$1" "$2" >&2
}

# folder, the prefix of its names, the folders it may know besides itself
order='
os         mp_os_
heap       mp_heap_     os
wire       mp_wire_
codec      mp_codec_
shm/arena  mp_shm_      os
shm/wait   mp_shm_      os shm/arena
shm/sync   mp_shm_      os shm/arena shm/wait
shm/queue  mp_shm_      os shm/arena shm/wait
shm/number mp_shm_      os shm/arena shm/wait shm/sync
shm/container mp_shm_   os shm/arena shm/wait shm/sync
shm/descriptor mp_shm_  os shm/arena
shm/view   mp_shm_      os shm/arena shm/wait shm/sync shm/queue shm/number shm/container shm/descriptor
shm        mp_shm_      os shm/arena shm/wait shm/sync shm/queue shm/number shm/container shm/descriptor
process    mp_process_  os shm/arena shm/wait shm/sync shm/queue shm/number shm/container shm/descriptor shm/view shm
bind       mp_lua_      os heap wire codec shm/arena shm/wait shm/sync shm/queue shm/number shm/container shm/descriptor shm/view shm process
.          luaopen_     os heap wire codec shm/arena shm/wait shm/sync shm/queue shm/number shm/container shm/descriptor shm/view shm process bind
'

# What is read below: FOLDER FILE KIND NAME, where NAME is a folder that the file includes, or a symbol of its object.
includes() {
  (cd src && grep -rnoE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^"]*/' .) |
    sed -nE 's#^\./(.*):[0-9]+:.*"(.*)/$#\1 \2#p' |
    while read -r file of; do echo "$(dirname "$file") $file include $of"; done
}

symbols() {
  find "$build/obj/src" -name '*.o' | while read -r object; do
    file=${object#"$build/obj/src/"}
    [ -f "src/${file%.o}.c" ] || continue # left by a source that has gone
    nm -g "$object" | awk -v file="${file%.o}.c" -v folder="$(dirname "$file")" '
      $NF ~ /^(mp_|luaopen_)/ || $(NF - 1) ~ /^[A-TV-Z]$/ { print folder, file, ($(NF - 1) == "U" ? "uses" : "defines"), $NF }'
  done
}

arrows() {
  { printf '%s\n' "$order" | sed '/^$/d; s/^/ORDER /'; cat; } | awk '
    $1 == "ORDER" { prefix[$2] = $3; may[$2, $2] = 1; for (i = 4; i <= NF; i++) may[$2, $i] = 1; next }
    $3 == "include" && !(($1, $4) in may) { print "src/" $2 " includes " $4 "/" }
    $3 == "defines" { home[$4] = $1; if (index($4, prefix[$1]) != 1) print "src/" $2 " defines " $4 ", not " prefix[$1] "..." }
    $3 == "uses" { used[++n] = $0 }
    END {
      for (i = 1; i <= n; i++) {
        split(used[i], u, " ")
        if ((u[4] in home) && !((u[1], home[u[4]]) in may)) print "src/" u[2] " uses " u[4] " of " home[u[4]] "/"
      }
    }'
}

[ -d "$build/obj/src" ] || complain 'the objects are needed' "$build/obj/src is not there"
unlisted=$(cd src && find . -name '*.[ch]' -printf '%h\n' | sed 's#^\./##' | sort -u | grep -vxF "$(echo "$order" | awk 'NF { print $1 }')")
complain 'folders without a place in the order' "$unlisted"
complain 'arrows run down, and names begin with their folder' "$({ includes; symbols; } | arrows)"

found() { grep -rnE --include='*.[ch]' "$@"; }
complain 'nothing below the codec knows Lua' "$(found '\<(lua_|luaL_|mp_lua_)|include[[:space:]]*[<"](lua|lauxlib|lualib)' src/os src/heap src/wire src/shm src/process)"
complain 'no file includes a .c file' "$(found '^[[:space:]]*#[[:space:]]*include[^>"]*[<"][^>"]*\.c[>"]' src)"
complain 'one file asks for the version of Lua' "$(found 'LUA_VERSION_NUM' src --exclude=compat.h)"
complain 'conditions stand in src/os, compat.h and where mutants are made' \
  "$(found '^[[:space:]]*#[[:space:]]*(el)?if(def)?\>' src --exclude-dir=os --exclude=compat.h --exclude='mutants.[ch]')"
complain 'mutants stand in src/shm alone' "$(found 'MP_MUTANT' src --exclude-dir=shm)"

exit "$failed"
