-- SPDX-License-Identifier: MIT
-- A task of apply that waited behind tasks that nobody wanted any more ran after Ctrl-C though its caller had gone.

local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

describe("apply behind tasks that were given up", function()
  leaks.watch()

  it("is called off by Ctrl-C before it has begun", function()
    local flag = os.tmpname()
    local result = program.text(([[
      local mproc = require("mproc")
      local proc = require("spec.support.proc")
      local here, flag, remove = mproc.getpid(), %q, os.remove
      local pool = mproc.Pool(1)
      for _ = 1, 5 do
        pool:apply(remove, { flag .. ".none" })
      end
      local begun, may_end = mproc.Event(), mproc.Event()
      local function hold(k)
        return k == 1 or begun:set() or may_end:wait()
      end
      for _ in pool:imap(hold, { 1, 2, 3 }, 1) do
        begun:wait()
        break
      end
      local p <close> = mproc.Process(function()
        proc.wait_asleep(here)
        os.execute("kill -INT " .. here)
      end):start()
      print(pcall(pool.apply, pool, remove, { flag }))
      may_end:set()
      print(pool:join(10))
    ]]):format(flag), { seconds = 20 })
    assert.matches("^false\t[^\n]*interrupted!\ntrue\n$", result.out, result.err)
    assert.is_true(os.remove(flag))
  end)
end)
