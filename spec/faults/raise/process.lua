-- SPDX-License-Identifier: MIT
-- Scenarios of run.lua: processes. One that was started can be joined, its result is there, and none runs that nobody
-- has a handle to.

local engine = require("spec.faults.raise.engine")
local mproc = require("mproc")

local scenarios = {}

local JOIN_SECONDS = 10

local function two(a, b) return a + b, "two" end

local function make()
  return { p = mproc.Process(two, 1, 2) }
end

local function started()
  return { p = mproc.Process(two, 1, 2):start() }
end

local function running()
  local over = mproc.Event()
  return { p = mproc.Process(function() over:wait() return 3, "two" end):start(), over = over }
end

-- It ends, with its result, and can be closed.
local function ends_well(p)
  assert(p:join(JOIN_SECONDS), "it cannot be joined")
  assert(p.exitcode == 0, "exit code " .. tostring(p.exitcode))
  local sum, word = p:result(JOIN_SECONDS)
  assert(sum == 3 and word == "two", "not its result")
  p:close()
end

local function audit_end(env)
  engine.collect()
  if env.over then env.over:set() end
  if not env.closed then ends_well(env.p) end
end

scenarios["mproc.Process"] = {
  make = function() return {} end,
  call = function(env)
    env.p = mproc.Process(two, 1, 2)
    env.named = mproc.Process{ target = two, args = { 1, 2 }, kwargs = { 5 }, name = "named", daemon = false }
  end,
  audit = function(env)
    engine.collect()
    if env.p then ends_well(env.p:start()) end
    ends_well(mproc.Process(two, 1, 2):start())
  end,
}
scenarios["Process:extend"] = {
  make = function() return {} end,
  call = function(env)
    local Class = mproc.Process:extend()
    function Class:init(n) self.n = n end
    function Class:run() return self.n, "two" end
    env.p = Class(3)
    env.p:start()
  end,
  audit = function(env)
    engine.collect()
    if env.p and not env.p.pid then env.p:start() end
    if env.p then ends_well(env.p) end
  end,
}
scenarios["Process:start"] = {
  make = make,
  once = true,
  call = function(env) env.p:start() end,
  audit = function(env)
    engine.collect()
    if not env.p.pid then -- so it does not run, and may be started again
      engine.settles("a child is left", function() return #mproc.active_children() == 0 end)
      env.p:start()
    end
    ends_well(env.p)
  end,
}
scenarios["Process:start, a daemon"] = {
  make = function() return { p = mproc.Process{ target = two, args = { 1, 2 }, daemon = true } } end,
  once = true,
  call = function(env) env.p:start() end,
  audit = scenarios["Process:start"].audit,
}
scenarios["Process:join"] = { make = started, call = function(env) env.p:join() end, audit = audit_end }
scenarios["Process:join, its time over"] = {
  make = running, call = function(env) env.p:join(0.002) end, audit = audit_end,
}
scenarios["Process:result"] = {
  make = started,
  call = function(env) env.result = env.p:result() end,
  audit = function(env, what)
    assert(what.raised or env.result == 3, "wrong result")
    audit_end(env)
  end,
}
scenarios["Process:result, its time over"] = {
  make = running, call = function(env) env.p:result(0.002) end, audit = audit_end,
}
scenarios["Process:result, an error"] = {
  catches = true,
  make = function() return { p = mproc.Process(error, { code = 7 }):start() } end,
  call = function(env)
    local ok, err = pcall(env.p.result, env.p)
    env.result = not ok and type(err) == "table" and err.code
  end,
  audit = function(env)
    assert(env.p:join(JOIN_SECONDS))
    local ok, err = pcall(env.p.result, env.p)
    assert(not ok and err.code == 7, "not its error")
  end,
}
scenarios["Process:close"] = {
  make = function()
    local env = started()
    env.p:join()
    return env
  end,
  once = true,
  call = function(env)
    env.p:close()
    env.closed = true
  end,
  audit = function(env)
    env.p:close()
    assert(env.p.exitcode == 0 and env.p.pid, "it does not tell any more")
  end,
}
for _, how in ipairs({ "terminate", "kill", "interrupt" }) do
  scenarios["Process:" .. how] = {
    make = running,
    call = function(env) env.p[how](env.p) end,
    audit = function(env, what)
      engine.collect()
      if what.raised then env.p:kill() end
      assert(env.p:join(JOIN_SECONDS), "it cannot be joined")
      assert(env.p.exitcode < 0)
      env.p:close()
    end,
  }
end
scenarios["Process, what it tells"] = {
  make = running,
  call = function(env)
    local p = env.p
    local _ = { p.name, p.pid, p.ident, p.daemon, p.exitcode, p.sentinel, p:is_alive(), p:fileno(), tostring(p) }
    mproc.active_children()
    mproc.current_process()
    mproc.parent_process()
    mproc.get_start_method()
    mproc.get_context()
  end,
  audit = audit_end,
}
scenarios["Process, <close>"] = {
  make = function() return { ran = mproc.Value("integer") } end,
  call = function(env)
    local p <close> = mproc.Process(function() env.ran:add(1) end):start()
    return p
  end,
  audit = function(env, what)
    engine.settles("a child runs", function()
      for _, p in ipairs(mproc.active_children()) do
        if what.raised then p:kill() end -- the error may have come before the variable held it
      end
      return #mproc.active_children() == 0
    end)
    assert(env.ran.value == 1 or what.raised, "it did not run")
  end,
}
scenarios["Process, sent to another"] = {
  make = function() return { q = mproc.Queue(), p = mproc.Process(two, 1, 2):start() } end,
  call = function(env)
    env.q:put(env.p)
    local peer = env.q:get()
    peer:is_alive()
    tostring(peer)
  end,
  audit = audit_end,
}
scenarios["at_fork"] = {
  make = function()
    local env = { before = 0, parent = 0 }
    mproc.at_fork{
      before = function() env.before = env.before + 1 end,
      parent = function() env.parent = env.parent + 1 end,
      child = function() env.child = true end,
    }
    env.p = mproc.Process(two, 1, 2)
    return env
  end,
  once = true,
  call = function(env) env.p:start() end,
  audit = scenarios["Process:start"].audit,
}

return scenarios
