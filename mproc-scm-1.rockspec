-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "mproc"
version = "scm-1"
source = {
  url = ".", -- built in place by `luarocks make mproc-scm-1.rockspec`; `make dist` makes a release's
}
description = {
  summary = "Processes, queues and shared memory: Python's multiprocessing for Lua",
  detailed = [[
    Forked Lua states that receive serialized arguments and exchange values through queues in
    shared memory. No call hangs because some process died.
  ]],
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.6" }
build = {
  type = "make",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUA_LIBDIR = "$(LUA_LIBDIR)",
  },
  install_variables = {
    LUA_DIR = "$(LUADIR)",
    LIB_DIR = "$(LIBDIR)",
    BIN_DIR = "$(BINDIR)",
    MAN_DIR = "", -- a rock has no manual pages, and its annotations are the folder below
    TYPES_DIR = "",
    SHARE_DIR = "",
  },
  copy_directories = { "docs", "library" }, -- the reference, and what editors read
}
