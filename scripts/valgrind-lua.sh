#!/bin/sh
# SPDX-License-Identifier: MIT
# An interpreter under valgrind, for run-specs.sh. Children are followed by fork, not by exec.
exec valgrind --quiet --error-exitcode=99 --child-silent-after-fork=no "${VALGRIND_LUA:-lua5.4}" "$@"
