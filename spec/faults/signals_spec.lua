-- SPDX-License-Identifier: MIT
-- Signals that a program catches come a thousand times a second and cut every system call short: waits neither end
-- early nor fail nor stretch.

local hostile = require("hostile")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local waits = require("spec.support.waits")

local HZ = 1000
local TIMEOUT, LATE = 0.25, 1
local FEW, TRIES = 5, 20 -- signals at least
local ENOUGH = 30 -- so often it has gone to sleep again before what it waits for comes

-- Runs f(...) while signals come; its results, and how many came.
local function in_storm(f, ...)
  hostile.storm(HZ)
  local results = table.pack(pcall(f, ...))
  local came = hostile.storm(0)
  assert(results[1], results[2])
  return came, table.unpack(results, 2, results.n)
end

-- How often a process has gone to sleep so far.
local function sleeps(pid)
  local file <close> = assert(io.open(("/proc/%d/status"):format(pid)))
  return tonumber(file:read("a"):match("\nvoluntary_ctxt_switches:%s*(%d+)"))
end

describe("in a storm of signals", function()
  leaks.watch()

  -- How many signals came meanwhile.
  local function wait_as_long_as_asked(name, make)
    local wait, finish, _, over, clean = make()
    local began = mproc.time()
    local results = table.pack(in_storm(wait, TIMEOUT))
    local spent = mproc.time() - began
    assert.same(over, { table.unpack(results, 2, results.n) })
    assert.truthy(spent >= TIMEOUT and spent < TIMEOUT + LATE, spent)
    if clean then -- what was not waited for to the end is, so that nothing is left
      if not name:find("Barrier") then finish() end
      assert.truthy((wait()))
      clean()
    end
    return results[1]
  end

  for name, make in pairs(waits.calls) do
    it(name .. " waits as long as asked", function()
      local came
      local tries = 0
      repeat -- a busy machine sends few
        came, tries = wait_as_long_as_asked(name, make), tries + 1
      until came >= FEW or tries == TRIES
      assert.truthy(came >= FEW, "only " .. came .. " signals came")
    end)
  end

  for name, make in pairs(waits.calls) do
    it(name .. " ends when it should, and well", function()
      local wait, finish, expected, _, clean = make()
      local mine = mproc.getpid()
      local p = mproc.Process(function()
        proc.wait_asleep(mine)
        local first = sleeps(mine)
        proc.until_true(function() return sleeps(mine) >= first + ENOUGH end, "a wait cut short again and again")
        finish()
      end):start()
      local results = table.pack(in_storm(wait))
      assert.truthy(results[1] > ENOUGH / 2, "only " .. results[1] .. " signals came")
      assert.same(expected, { table.unpack(results, 2, results.n) })
      if clean then clean() end
      assert.is_true(p:join(20))
      p:close()
    end)
  end
end)
