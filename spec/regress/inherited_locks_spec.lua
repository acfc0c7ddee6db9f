-- SPDX-License-Identifier: MIT
-- The kernel has a list of the locks that a thread holds, and lets go of them when it dies. A forked child begins with
-- an empty one. musl's fork left it its parent's, so that what it locked was chained into what its parent held, and who
-- died then could leave locks taken for ever.

local program = require("spec.support.program")

-- Locks that the parent holds when it forks, and what becomes of them before somebody dies.
local PROGRAM = [[
  local mproc = require("mproc")
  local held, other, go, ready = {}, mproc.Lock(), mproc.Event(), mproc.Event()

  local function parent(which)
    for i = 1, 3 do
      held[i] = mproc.Lock()
      held[i]:acquire()
    end
    local mine = mproc.Lock()
    local child = mproc.Process{ target = function()
      held = nil
      collectgarbage()
      mine:acquire()
      other:acquire()
      ready:set()
      mproc.sleep(60)
    end, daemon = true }:start()
    if which == "order" then ready:wait(10) end
    for _, i in ipairs({ 2, 1, 3 }) do
      held[i]:release()
    end
    if which ~= "kept" then held = {} end
    collectgarbage()
    local late = {}
    for i = 1, 40 do
      late[i] = mproc.Lock()
      late[i]:acquire()
    end
    ready:wait(10)
    return child, mine, late
  end

  for _, which in ipairs({ "order", "kept", "early" }) do
    ready:clear()
    local child, mine, late = parent(which)
    child:kill()
    print(which, child:join(10), select("#", mine:acquire(5)), select("#", other:acquire(5)))
    mine:release()
    other:release()
    for _, lock in ipairs(late) do lock:release() end
  end

  -- The parent is the one that dies.
  ready:clear()
  local first = mproc.Lock()
  local p = mproc.Process(function()
    first:acquire()
    local child = parent("order")
    mproc.Process{ target = function() child:kill() end }:start():join(10)
    mproc.sleep(60)
  end):start()
  assert(ready:wait(20))
  mproc.sleep(0.2)
  p:kill()
  print("parent", p:join(10), first:acquire(5))
]]

describe("a child of a process that holds locks", function()
  it("and its parent leave nothing locked when they are killed", function()
    local r = program.text(PROGRAM, { seconds = 60 })
    assert.equal("order\ttrue\t2\t2\nkept\ttrue\t2\t2\nearly\ttrue\t2\t2\nparent\ttrue\ttrue\tabandoned\n", r.out,
      r.err)
  end)
end)
