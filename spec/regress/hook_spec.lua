-- SPDX-License-Identifier: MIT
-- A hook that a script has set for every event and instruction, as debuggers do, passed for Ctrl-C: any wait raised
-- "interrupted!" and took the hook away.

local program = require("spec.support.program")

describe("a script's hook", function()
  local PRELUDE = [[
    local mproc = require("mproc")
    local q, seen = mproc.Queue(), 0
    debug.sethook(function() seen = seen + 1 end, "crl", 1)
  ]]

  it("ends no wait, and stays", function()
    local r = program.text(PRELUDE .. [[
      print(q:get(0.01))
      print(coroutine.wrap(function() return q:get(0.01) end)())
      local before = seen
      print(seen > before, debug.gethook() ~= nil)
    ]])
    assert.equal("nil\tempty\nnil\tempty\ntrue\ttrue\n", r.out, r.err)
  end)

  it("gives way to Ctrl-C", function()
    local r = program.text(PRELUDE .. [[
      local proc = require("spec.support.proc")
      local parent = mproc.getpid()
      mproc.Process(function()
        debug.sethook()
        proc.wait_asleep(parent)
        os.execute("kill -INT " .. parent)
      end):start()
      print(pcall(q.get, q, 30))
    ]])
    assert.truthy(r.out:find("^false\t[^\n]*interrupted!\n$"), r.out .. r.err)
  end)
end)
