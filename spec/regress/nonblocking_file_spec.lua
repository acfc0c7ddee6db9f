-- SPDX-License-Identifier: MIT
-- A socket of LuaSocket's is non-blocking: as a Lua file it gave nil where the other side had not sent anything yet.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local store = require("spec.support.store")

describe("a Lua file of a non-blocking socket", function()
  setup(store.warm)
  leaks.watch()

  it("waits for what it reads", function()
    local there, socket = pcall(require, "socket")
    if not there then
      pending("needs lua-socket")
      return
    end
    local listener = assert(socket.bind("127.0.0.1", 0))
    local host, port = listener:getsockname()
    local client = assert(socket.connect(host, port))
    local served = assert(listener:accept())
    listener:close()
    local d <close> = mproc.fd(served)
    local p = mproc.Process(function()
      local input <close> = assert(d:file("r"))
      return input:read()
    end):start()
    served:close()
    proc.wait_asleep(p.pid)
    client:send("late\n")
    assert.equal("late", p:result(20))
    assert.is_true(p:join(20))
    p:close()
    client:close()
  end)
end)
