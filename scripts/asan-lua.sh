#!/bin/sh
# SPDX-License-Identifier: MIT
# An interpreter that can load a module built with gcc's sanitizers. Leaks are not looked for: the interpreter itself
# is not instrumented, and children end by _exit.
# ASAN_LIBS: the runtimes; given by `make asan`, because where a spec allows no fork this script cannot ask gcc.
LD_PRELOAD="${ASAN_LIBS:-$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)} ${LD_PRELOAD:-}" \
  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
  exec "${ASAN_LUA:-lua5.4}" "$@"
