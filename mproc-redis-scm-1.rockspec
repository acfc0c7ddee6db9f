-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "mproc-redis"
version = "scm-1"
source = {
  url = ".", -- built in place by `luarocks make mproc-redis-scm-1.rockspec`; `make dist` makes a release's
}
description = {
  summary = "Pools over several machines for mproc, on Redis or Valkey",
  detailed = [[
    mproc.Pool{ url = "redis://host/0?queue=name" } and mproc worker URL: tasks run at least once, results come exactly
    once, machines come and go.
  ]],
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.5", "mproc", "luasocket >= 3.0", "luasec >= 1.0" }
external_dependencies = {
  HIREDIS = { header = "hiredis/hiredis.h", library = "hiredis" },
}
build = {
  type = "make",
  build_target = "redis",
  install_target = "install-redis",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS) -I$(HIREDIS_INCDIR)",
    LDFLAGS = "-L$(HIREDIS_LIBDIR)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUA_LIBDIR = "$(LUA_LIBDIR)",
  },
  install_variables = {
    LUA_DIR = "$(LUADIR)",
    LIB_DIR = "$(LIBDIR)",
  },
}
