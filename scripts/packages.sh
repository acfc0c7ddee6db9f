# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by deps.sh, deps-redis.sh and bench-deps.sh: what is missing, and how it is installed on a Debian or Ubuntu.

missing=
need() {
  missing="$missing $1"
}

lua_can() {
  command -v lua5.4 >/dev/null && lua5.4 -e "require '$1'" >/dev/null 2>&1
}

# Ends the script when nothing is missing, or when there is no apt-get: then it says what to install by hand.
only_with_apt() { # which target, what to install
  [ -n "$missing" ] || exit 0
  command -v apt-get >/dev/null && return
  echo "make $1 knows apt-get only. Please install, by the names your system gives them:" >&2
  echo "  $2" >&2
  echo "missing here:$missing" >&2
  exit 1
}

available() {
  LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'
}

apt() {
  root=
  [ "$(id -u)" -eq 0 ] || root=sudo
  $root env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

# A fresh container has no package lists at all; every list knows Lua.
read_lists() {
  available lua5.4 || apt -qq update
}

install_packages() {
  [ $# -gt 0 ] || return 0
  echo "installing: $*"
  apt -qq -y --no-install-recommends install "$@" >/dev/null
}
