-- SPDX-License-Identifier: MIT
-- Ctrl-C ends every call that waits, inside coroutines as well, and what was waited for is as it was before.

local program = require("spec.support.program")
local waits = require("spec.support.waits")

-- `when_asleep(f)` has another process call f as soon as this one sleeps. `interrupted(f)` calls f, which does not end
-- by itself, and interrupts it.
local PRELUDE = [[
  local mproc = require("mproc")
  local proc = require("spec.support.proc")
  local waits = require("spec.support.waits")
  local here = mproc.getpid()
  local function when_asleep(f)
    return mproc.Process(function()
      proc.wait_asleep(here)
      f()
    end):start()
  end
  local function interrupted(f)
    local p <close> = when_asleep(function() os.execute("kill -INT " .. here) end)
    print(pcall(f))
  end
]]

-- A wait of spec.support.waits is interrupted; then it ends as it should.
local WAIT = PRELUDE .. [[
  local wait, finish, expected, _, clean = waits.calls[%q]()
  interrupted(%s(function() wait(%s) end))
  local p <close> = when_asleep(finish)
  local results = table.pack(wait())
  print(results[1] == expected[1], results[2] == expected[2])
  if clean then clean() end
]]

-- Others, each with what makes it wait.
local CALL = PRELUDE .. [[
  local held = mproc.Queue()
  local function hold(f)
    local p = mproc.Process{ daemon = true, target = function()
      f()
      held:put(true)
      mproc.sleep(100)
    end }:start()
    held:get()
    return p
  end
  %s
  interrupted(%s(function() %s end))
  print(true, true)
]]
local CALLS = {
  ["local q = mproc.SimpleQueue()"] = { "q:get()" },
  ["local q = mproc.Queue()"] = { "for _ in q:items() do end" },
  ["local l = mproc.Lock() hold(function() l:acquire() end)"] = { "l:with(print)", "l:guard()" },
  ["local rw = mproc.RWLock() hold(function() rw:write_acquire() end)"] = {
    "rw:with(print)", "rw:read_with(print)", "rw:read_guard()",
  },
  ["local rw = mproc.RWLock() hold(function() rw:read_acquire() end)"] = { "rw:write_acquire()" },
  ["local s = mproc.BoundedSemaphore(0)"] = { "s:with(print)", "s:guard()" },
  ["local b = mproc.Barrier(2)"] = { "b:wait()", "b:wait(30)", "b:with(print)", "b:guard()" },
  ["local v = mproc.Value('integer') hold(function() v:lock():acquire() end)"] = { "v:update(tostring)" },
  ["local p = hold(function() end)"] = { "local _ <close> = p", "mproc.wait({ p, held })" },
  [""] = { "mproc.sleep(30)" },
}

local function assert_interrupted(source)
  local r = program.text(source, { seconds = 25 })
  assert.is_false(r.timed_out)
  assert.truthy(r.out:find("^false\t[^\n]*interrupted!\ntrue\ttrue\n$"), r.out .. r.err)
  assert.equal(0, r.code, r.err)
end

describe("Ctrl-C ends", function()
  for how, called in pairs({ [""] = "", [" inside a coroutine"] = "coroutine.wrap" }) do
    for name in pairs(waits.calls) do
      local breaks = name == "Barrier:wait" -- by design: it is among the others
      for _, timeout in ipairs(breaks and {} or { "nil", "30" }) do
        it(("%s(%s)%s"):format(name, timeout, how), function()
          assert_interrupted(WAIT:format(name, called, timeout))
        end)
      end
    end
    for before, calls in pairs(CALLS) do
      for _, call in ipairs(calls) do
        it(call .. how, function()
          assert_interrupted(CALL:format(before, called, call))
        end)
      end
    end
  end
end)
