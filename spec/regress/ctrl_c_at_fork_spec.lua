-- SPDX-License-Identifier: MIT
-- Ctrl-C that came just before a fork was raised twice: in the parent, and in the child too, which had inherited the
-- hook of lua.c's SIGINT handler. Output into a full pipe keeps the parent before its fork.

local program = require("spec.support.program")

describe("Ctrl-C while a process is started", function()
  local PARENT = [[
    local mproc = require("mproc")
    local PIPE_BYTES = 1 << 16
    local reader = io.popen(([=[exec $LUA -e '
      local pid = %d
      require("spec.support.proc").wait_asleep(pid)
      require("hostile").kill(pid, 2)
      io.read("a")
    ']=]):format(mproc.getpid()), "w")
    reader:write(("x"):rep(PIPE_BYTES))
    reader:flush()
    reader:write("more")
    local p = mproc.Process(function() return "whole" end)
    local ok, err = pcall(p.start, p)
    print(ok and "not interrupted" or err:match("interrupted!"), p:result(20), p.exitcode)
  ]]

  it("is the parent's alone", function()
    local r = program.text(PARENT)
    assert.equal("interrupted!\twhole\t0\n", r.out, r.err)
  end)
end)
