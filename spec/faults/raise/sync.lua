-- SPDX-License-Identifier: MIT
-- Scenarios of run.lua: the scopes of everything that is acquired, and what waits without taking.

local engine = require("spec.faults.raise.engine")
local mproc = require("mproc")

local scenarios = {}

-- What can be held: how it is made, and whether it is free.
local KINDS = {
  Lock = { mproc.Lock, function(x) return not x:locked() end },
  RLock = { mproc.RLock, function(x) return not x:locked() end },
  Semaphore = { function() return mproc.Semaphore(2) end, function(x) return x:get_value() == 2 end },
  BoundedSemaphore = { function() return mproc.BoundedSemaphore(2) end, function(x) return x:get_value() == 2 end },
  Condition = { mproc.Condition, function(x) return not x:locked() end },
  Event = { mproc.Event, function(x) return not x:is_set() end },
  RWLock = { mproc.RWLock, function(x) return not x:reads() and not x:writes() end },
  Barrier = { function() return mproc.Barrier(1) end, function(x) return x.n_waiting == 0 end },
  ["Value's lock"] = {
    function() return mproc.Value("integer"):lock() end, function(x) return not x:locked() end,
  },
  ["Array's lock"] = {
    function() return mproc.Array("integer", 3):lock() end, function(x) return not x:locked() end,
  },
}

local FORMS = { "with", "guard", "read_with", "read_guard", "write_with", "write_guard" }

-- What each form is, as a program uses it.
local function use(x, form, f)
  if form:find("with") then
    return x[form](x, f, 1, 2)
  end
  local _ <close> = x[form](x)
  return f(1, 2)
end

local function scope_of(make, is_free, form)
  return {
    make = function() return { x = make(), calls = 0 } end,
    call = function(env)
      env.result = table.pack(use(env.x, form, function(a, b)
        env.calls = env.calls + 1
        return a, b, nil
      end))
    end,
    audit = function(env, what)
      engine.collect()
      if env.x.reset and env.x.broken then env.x:reset() end -- a scope that an error ended has aborted it
      assert(is_free(env.x), "it is held afterwards")
      assert(what.raised or env.result.n == 3 and env.result[2] == 2, "wrong results")
      local calls = env.calls
      use(env.x, form, function() env.calls = env.calls + 1 end)
      assert(env.calls == calls + 1 and is_free(env.x), "the next scope does not work")
    end,
  }
end

for kind, made in pairs(KINDS) do
  local sample = made[1]()
  for _, form in ipairs(FORMS) do
    if sample[form] then
      scenarios[kind .. ":" .. form] = scope_of(made[1], made[2], form)
    end
  end
  scenarios[kind .. ":guard released by hand"] = {
    make = function() return { x = made[1]() } end,
    call = function(env)
      local g = env.x:guard()
      g:release()
    end,
    audit = function(env)
      engine.collect()
      assert(made[2](env.x), "it is held afterwards")
    end,
  }
  scenarios[kind .. ":with, of a function that raises"] = {
    make = function() return { x = made[1]() } end,
    catches = true,
    call = function(env) pcall(env.x.with, env.x, error, "the function's own") end,
    audit = function(env)
      engine.collect()
      if env.x.reset and env.x.broken then env.x:reset() end
      assert(made[2](env.x), "it is held afterwards")
    end,
  }
end

local function condition_with(wait)
  return {
    make = function() return { c = mproc.Condition(), v = mproc.Value("integer") } end,
    call = function(env)
      local _ <close> = env.c:guard()
      wait(env)
    end,
    audit = function(env)
      engine.collect()
      assert(not env.c:locked(), "it is held afterwards")
      env.c:with(function() env.c:notify_all() end)
      assert(not env.c:locked(), "the next scope does not work")
    end,
  }
end

scenarios["Condition:wait"] = condition_with(function(env) env.c:wait(0.002) end)
scenarios["Condition:wait_for"] = condition_with(function(env)
  return env.c:wait_for(function() return env.v:add(1) > 5 end, 0.02)
end)
scenarios["Condition:notify"] = condition_with(function(env) env.c:notify() env.c:notify_all() end)

local function numbers(make, call)
  return {
    make = function() return { v = make() } end,
    call = function(env)
      local before = env.v
      env.result = call(before)
    end,
    audit = function(env)
      engine.collect()
      assert(not env.v:lock():locked(), "the lock is held afterwards")
      call(env.v)
    end,
  }
end

local function value() return mproc.Value("integer", 5) end
local function array() return mproc.Array("integer", { 1, 2, 3 }) end

scenarios["Value:update"] = {
  make = function() return { v = mproc.Value("integer", 5), calls = 0 } end,
  call = function(env)
    env.v:update(function(x)
      env.calls = env.calls + 1
      return x + 1
    end)
  end,
  audit = function(env)
    engine.collect()
    assert(not env.v:lock():locked(), "the lock is held afterwards")
    assert(env.v.value - 5 <= env.calls and env.v.value - 5 >= env.calls - 1, "lost or doubled")
    assert(env.v:update(function() return 100 end) == 100, "the next update does not work")
  end,
}
scenarios["Value, its operations"] = numbers(value, function(v)
  v.value = 3
  v:add(2)
  v:exchange(7)
  v:compare_exchange(7, 8)
  return tostring(v)
end)
scenarios["Array, its operations"] = numbers(array, function(a)
  a[1] = 4
  a:set(1, { 1, 2, 3 })
  a:fill(2)
  for i in ipairs(a) do a:add(i, 1) end
  return #a:totable() + #a:sub(1, 2)
end)
scenarios["Barrier:wait, with an action"] = {
  make = function()
    local env = { actions = 0 }
    env.b = mproc.Barrier(1, function() env.actions = env.actions + 1 end)
    return env
  end,
  call = function(env) env.result = env.b:wait() end,
  audit = function(env, what)
    engine.collect()
    assert(env.b.n_waiting == 0, "somebody waits afterwards")
    assert(what.raised or env.result == 0, "wrong result")
    env.b:reset()
    assert(env.b:wait(5) == 0, "the next wait does not work")
  end,
}
scenarios["Event:wait"] = {
  make = function() return { e = mproc.Event() } end,
  call = function(env)
    env.e:wait(0.001)
    env.e:set()
    env.result = env.e:wait(5)
  end,
  audit = function(env, what)
    assert(what.raised or env.result == true, "wrong result")
    env.e:set()
    assert(env.e:wait(5), "the next wait does not work")
  end,
}
scenarios["sleep, time, cpu_count, print_prefix, log"] = {
  make = function() return {} end,
  call = function()
    mproc.sleep(0.001)
    mproc.time()
    mproc.cpu_count()
    mproc.print_prefix()
    mproc.log()
  end,
  audit = function() mproc.sleep(0) end,
}

return scenarios
