-- SPDX-License-Identifier: MIT
-- A manager, or one of its callers, that ends after its nth instruction from a moment in the middle of calls on: each
-- call comes to one end in time, what was counted is what was answered, or one more, and nothing is left. Some n each
-- day; MPROC_FAULTS_POINTS=n tries so many.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local trap = require("lua_trap")

local POINTS = tonumber(os.getenv("MPROC_FAULTS_POINTS")) or 5
local REACH = 24000 -- instructions: some calls of each kind
local SECONDS = 10 -- a process that steps is slow

local Counter = {}
Counter.__index = Counter
function Counter:add(k) self.n = self.n + k return self.n end
function Counter:get() return self.n end
function Counter.arm(_, n) trap.die_after(n) end

local function new(n)
  return setmetatable({ n = n or 0 }, Counter)
end

-- The points of today.
local function points()
  local list, shift = {}, os.time() // 86400 * 7919
  for i = 1, POINTS do
    list[i] = (i - 1) * REACH // POINTS + 1 + shift % (REACH // POINTS)
  end
  return list
end

-- What a caller of c does until the manager is gone: how many answers it had, and how long the last round took.
local function call_on(m, c, q)
  local done, began = 0, mproc.time()
  local ok, err = pcall(function()
    while true do
      began = mproc.time()
      local own <close> = m:create("Counter", done)
      assert(own:add(1) == done + 1)
      q:put(own)
      assert(q:get(SECONDS):get() == done + 1)
      assert(select(2, c:call("get", {}, 0)) == "timeout")
      c:add(1)
      done = done + 1
    end
  end)
  local took = mproc.time() - began
  assert(not ok and type(err) == "table" and err.kind == "manager_died", tostring(err))
  return done, took
end

describe("killed after n instructions", function()
  leaks.watch()

  it("a manager is missed at once", function()
    for _, n in ipairs(points()) do
      local m = mproc.Manager({ Counter = new })
      local c, q = m:create("Counter"), mproc.Queue()
      local other = children.start(function() return call_on(m, c, mproc.Queue()) end)
      pcall(c.arm, c, n) -- it may end before it has answered
      local _, took = call_on(m, c, q)
      assert.is_true(took < SECONDS, ("at %d it took %f s"):format(n, took))
      assert.is_true(select(2, children.results(other)) < SECONDS)
      m:shutdown()
      while q:get(0) do end
    end
  end)

  it("a caller is no matter to the manager and to others", function()
    local m <close> = mproc.Manager({ Counter = new })
    local c, before = m:create("Counter"), 0
    for _, n in ipairs(points()) do
      local told = mproc.Value("integer", 0)
      local p = children.start(function()
        local q = mproc.Queue()
        trap.die_after(n)
        while true do
          local own <close> = m:create("Counter", 5)
          own:add(1)
          q:put(own)
          q:get(0)
          c:add(1)
          told:add(1)
        end
      end)
      children.reap(p)
      local now = c:get()
      local counted = now - before
      assert.is_true(counted == told.value or counted == told.value + 1,
        ("at %d: %d of %d"):format(n, counted, told.value))
      before = now
    end
    local kept = m:create("Counter", 1)
    proc.until_true(function() -- what they had has gone: the objects of this process are left
      collectgarbage()
      return require("mproc.core").stats().objects < 20
    end, "the end of what the dead had")
    assert.equal(2, kept:add(1))
  end)
end)
