-- SPDX-License-Identifier: MIT
-- The wall clock steps (ctest/modules/wallclock.c): waits keep to the monotonic one.

local program = require("spec.support.program")

local BUILD = os.getenv("BUILD") or "build"
local LIBRARY = BUILD:sub(1, 1) == "/" and BUILD .. "/wallclock.so" or "$PWD/" .. BUILD .. "/wallclock.so"

local EVERY_WAIT = [[
  local mproc = require("mproc")
  local waits = require("spec.support.waits")
  local before, steps = os.time(), 0
  for name, make in pairs(waits.calls) do
    local wait, finish, _, _, clean = make()
    for _, timeout in ipairs({ 0, 0.15 }) do
      local began = mproc.time()
      wait(timeout)
      local spent = mproc.time() - began
      if spent < timeout or spent > timeout + 1 then
        print(("%s waited for %.3f s instead of %.2f"):format(name, spent, timeout))
      end
      local now = os.time()
      if math.abs(now - before) > 3000 then steps = steps + 1 end
      before = now
    end
    if clean then
      if name:find("Barrier") then
        mproc.Process(finish):start()
      else
        finish()
      end
      if not wait() then print(name .. " did not end") end
      clean()
    end
  end
  print(steps > 20)
]]

describe("steps of the wall clock", function()
  it("change no wait", function()
    local r = program.text(EVERY_WAIT, { seconds = 60,
      env = "LUA_PATH='./?.lua;'\"$LUA_PATH\" LD_PRELOAD=\"$LD_PRELOAD " .. LIBRARY .. "\"" })
    assert.is_false(r.timed_out)
    assert.equal("true\n", r.out, r.err)
  end)

  it("could not: the module asks for no wall clock", function()
    local r = program.shell("nm -D --undefined-only " .. BUILD .. "/mproc/core.so")
    assert.truthy(r.out:find(" clock_gettime", 1, true), r.err)
    for _, name in ipairs({ "time", "gettimeofday", "pthread_mutex_timedlock", "pthread_cond_timedwait",
      "sem_timedwait", "pthread_rwlock_timedwrlock" }) do
      assert.is_nil((r.out .. "\n"):find(" U " .. name .. "[@\n]"), name)
    end
  end)
end)
