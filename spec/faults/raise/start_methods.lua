-- SPDX-License-Identifier: MIT
-- Scenarios of run.lua: processes that are no forks. As in process.lua, one that was started can be joined, its result
-- is there, and none runs that nobody has a handle to.

local engine = require("spec.faults.raise.engine")
local mproc = require("mproc")

local scenarios = {}

local JOIN_SECONDS = 30

local function two(a, b) return a + b, "two" end

local function ends_well(p)
  assert(p:join(JOIN_SECONDS), "it cannot be joined")
  assert(p.exitcode == 0, "exit code " .. tostring(p.exitcode))
  local sum, word = p:result(JOIN_SECONDS)
  assert(sum == 3 and word == "two", "not its result")
  p:close()
end

local function audit(env)
  engine.collect()
  if not env.p.pid then -- so it does not run, and may be started again
    engine.settles("a child is left", function() return #mproc.active_children() == 0 end)
    env.p:start()
  end
  ends_well(env.p)
end

for _, method in ipairs({ "spawn", "forkserver" }) do
  local context = mproc.get_context(method)

  -- A server that is there belongs to none of the tries.
  local function prepare()
    local p <close> = context.Process(two, 1, 2):start()
    return p:join(JOIN_SECONDS)
  end

  scenarios["Process:start by " .. method] = {
    make = function()
      prepare()
      return { p = context.Process(two, 1, 2) }
    end,
    once = true,
    call = function(env) env.p:start() end,
    audit = audit,
  }
  scenarios["Process:start of a subclass by " .. method] = {
    make = function()
      prepare()
      local Class = context.Process:extend()
      function Class:init(n) self.n = n end
      function Class:run() return Class.sum(self), "two" end
      function Class:sum() return self.n end
      return { p = Class(3) }
    end,
    once = true,
    call = function(env) env.p:start() end,
    audit = audit,
  }
end

scenarios["Process:start, the first by forkserver"] = {
  make = function() return { p = mproc.get_context("forkserver").Process(two, 1, 2) } end,
  once = true,
  call = function(env) env.p:start() end,
  audit = audit,
}
scenarios["Pool by spawn"] = {
  make = function() return {} end,
  call = function(env)
    local pool <close> = mproc.get_context("spawn").Pool(1)
    env.result = pool:apply(two, { 1, 2 })
  end,
  audit = function(env, what)
    engine.collect()
    engine.settles("a worker is left", function() return #mproc.active_children() == 0 end)
    assert(env.result == 3 or what.raised, "not its result")
  end,
}

return scenarios
