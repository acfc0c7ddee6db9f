#!/bin/sh
# SPDX-License-Identifier: MIT
# An interpreter under valgrind, for run-specs.sh. Children are followed by fork, not by exec. The arena is small:
# valgrind walks all of a mapping where the kernel does not.
MPROC_ARENA=${MPROC_ARENA:-4G} \
  exec valgrind --quiet --error-exitcode=99 --child-silent-after-fork=no "${VALGRIND_LUA:-lua5.4}" "$@"
