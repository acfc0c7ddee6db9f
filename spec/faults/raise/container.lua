-- SPDX-License-Identifier: MIT
-- Scenarios of run.lua: dictionaries, lists, sets, namespaces and frozen tables. Each call was made or was not; what
-- else is there is untouched, no lock is held, and the next call works.

local engine = require("spec.faults.raise.engine")
local mproc = require("mproc")

local scenarios = {}

local N = 6

local function numbers()
  local list = {}
  for i = 1, N do list[i] = i end
  return list
end

local function words()
  local t = {}
  for i = 1, N do t["k" .. i] = i end
  return t
end

-- steps: functions that change the container one after another, each counted in env.done once it is over; what they
-- come to is known beforehand: models[n + 1] is what is there after n steps.
local function steps_of(new, copy, steps, models)
  return {
    once = true,
    make = function() return { x = new(), done = 0 } end,
    call = function(env)
      for i, step in ipairs(steps) do
        step(env.x)
        env.done = i
      end
    end,
    audit = function(env, what)
      engine.collect()
      assert(what.raised or env.done == #steps, "it ended early")
      local now = copy(env.x)
      local next_step = models[env.done + 2]
      assert(now == models[env.done + 1] or what.raised and now == next_step,
        ("after %d of %d steps there is %s"):format(env.done, #steps, now))
      assert(not env.x:lock():locked(), "its lock is held afterwards")
    end,
  }
end

local function dict_text(d)
  local keys = d:keys()
  assert(#keys == #d, "it counts wrong")
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, k in ipairs(keys) do
    local v = d[k]
    keys[i] = tostring(k) .. "=" .. (type(v) == "table" and "{" .. table.concat(v, ",") .. "}" or tostring(v))
  end
  return table.concat(keys, " ")
end

local function list_text(l)
  local list = l:totable()
  assert(#list == #l, "it counts wrong")
  return table.concat(list, " ")
end

scenarios["Dict, what changes it"] = steps_of(function() return mproc.Dict{ a = 1 } end, dict_text, {
  function(d) d.b = 2 end,
  function(d) d:set("c", { 3, 4 }) end,
  function(d) assert(d:add("a", 4) == 5) end,
  function(d) assert(d:setdefault("e", 7) == 7) end,
  function(d) assert(d:exchange("b", "x") == 2) end,
  function(d) assert(d:compare_exchange("b", "x", "y")) end,
  function(d) assert(d:update("a", function(v) return v * 2 end) == 10) end,
  function(d) assert(d:pop("e") == 7) end,
  function(d) d.c = nil end,
  function(d) d:set_many{ a = 2 } end,
  function(d) d:clear() end,
}, {
  "a=1", "a=1 b=2", "a=1 b=2 c={3,4}", "a=5 b=2 c={3,4}", "a=5 b=2 c={3,4} e=7", "a=5 b=x c={3,4} e=7",
  "a=5 b=y c={3,4} e=7", "a=10 b=y c={3,4} e=7", "a=10 b=y c={3,4}", "a=10 b=y", "a=2 b=y", "",
})
scenarios["List, what changes it"] = steps_of(function() return mproc.List{ 3, 1, 2 } end, list_text, {
  function(l) l:append(9) end,
  function(l) l:extend{ 7, 8 } end,
  function(l) l:insert(1, 5) end,
  function(l) l[2] = 4 end,
  function(l) assert(l:remove(3) == 1) end,
  function(l) assert(l:pop() == 8) end,
  function(l) assert(l:shift() == 5) end,
  function(l) assert(l:add(1, 10) == 14) end,
  function(l) assert(l:update(2, function(v) return v + 1 end) == 3) end,
  function(l) l:sort() end,
  function(l) l:sort(function(a, b) return a > b end) end,
  function(l) l:clear() end,
}, {
  "3 1 2", "3 1 2 9", "3 1 2 9 7 8", "5 3 1 2 9 7 8", "5 4 1 2 9 7 8", "5 4 2 9 7 8", "5 4 2 9 7", "4 2 9 7",
  "14 2 9 7", "14 3 9 7", "3 7 9 14", "14 9 7 3", "",
})

-- Calls that change nothing, or nothing that lasts.
local function reading(new, call, check)
  return {
    make = function() return { x = new() } end,
    call = function(env) env.result = call(env.x, env) end,
    audit = function(env, what)
      engine.collect()
      assert(what.raised or check(env.result), "wrong results")
      assert(check(call(env.x, env)), "the next call does not work")
      assert(not env.x.lock or not env.x:lock():locked(), "its lock is held afterwards")
    end,
  }
end

local function new_dict() return mproc.Dict(words()) end
local function new_list() return mproc.List(numbers()) end
local SUM = N * (N + 1) // 2

scenarios["Dict, what reads it"] = reading(new_dict, function(d)
  local sum = 0
  for _, v in pairs(d) do sum = sum + v end
  for _, v in ipairs(d:values()) do sum = sum + v end
  for _, v in pairs(d:totable()) do sum = sum + v end
  return sum + #d + #d:keys() + d:get("none", 0) + (d:has("k1") and 1 or 0) + #tostring(d:stats().entries)
end, function(sum) return sum == 3 * SUM + 2 * N + 2 end)
scenarios["List, what reads it"] = reading(new_list, function(l)
  local sum = 0
  for _, v in ipairs(l) do sum = sum + v end
  for _, v in ipairs(l:totable()) do sum = sum + v end
  return sum + #l + l:index(3) + #l:sub(2, 4) + #table.pack(table.unpack(l)) + #table.concat(l)
end, function(sum) return sum == 2 * SUM + N + 3 + 3 + N + N end)
scenarios["Dict:with"] = reading(new_dict, function(d, env)
  env.calls = 0
  return d:with(function(x)
    env.calls = env.calls + 1
    return x
  end, 5)
end, function(x) return x == 5 end)
scenarios["List:lock"] = reading(new_list, function(l)
  local _ <close> = l:lock():guard()
  return #l
end, function(n) return n == N end)
scenarios["Set"] = reading(function() return mproc.Set{ 1, 2 } end, function(s)
  s:add(3)
  local n = 0
  for x in pairs(s) do n = n + x end
  s:remove(3)
  return n + #s + #s:totable() + (s:has(1) and 1 or 0)
end, function(sum) return sum == 6 + 2 + 2 + 1 end)
scenarios["Namespace"] = reading(function() return { ns = mproc.Namespace{ a = 1 } } end, function(held)
  held.ns.b = 2
  held.ns.b = nil
  return held.ns.a + #mproc.Dict(held.ns)
end, function(sum) return sum == 2 end)
scenarios["containers, made and closed"] = reading(function() return {} end, function()
  local d <close> = mproc.Dict(words(), { max_entries = 100, ttl = 60 })
  local l <close> = mproc.List(numbers())
  local s <close> = mproc.Set(numbers())
  d.list = l
  return #d + #l + #s + #d.list
end, function(sum) return sum == 4 * N + 1 end)
scenarios["freeze and thaw"] = reading(function() return {} end, function()
  local f = mproc.freeze{ list = { 1, 2, { 3 } }, name = "x" }
  local sum = #f.list + f("list", 3, 1)
  for _ in pairs(f) do sum = sum + 1 end
  local t = mproc.thaw(f)
  return sum + #t.list + #t.name + (mproc.is_frozen(f) and 1 or 0) + (mproc.frozen_info(f) and 1 or 0)
end, function(sum) return sum == 3 + 3 + 2 + 3 + 1 + 2 end)

-- Values with hooks, and a container in a container.
scenarios["containers, values with hooks"] = {
  once = true,
  make = function()
    local Class = {}
    Class.__mproc_encode = function(object) return { object.n } end
    mproc.register("raise.Held", Class, { decode = function(plain) return setmetatable({ n = plain[1] }, Class) end })
    local env = { d = mproc.Dict(), l = mproc.List(), inner = mproc.List{ 5 } }
    env.new = function(n) return setmetatable({ n = n }, Class) end
    return env
  end,
  call = function(env)
    env.d.a = env.new(1)
    env.d:set_many{ b = env.new(2), c = env.inner }
    env.l:extend{ env.new(3), env.new(4), env.inner }
    env.result = env.d.a.n + env.d:update("b", function(o) return env.new(o.n + 1) end).n + #env.l:totable()
  end,
  audit = function(env, what)
    engine.collect()
    assert(what.raised or env.result == 1 + 3 + 3, "wrong results")
    assert(#env.l == 0 or #env.l == 3, "a part of the list is there")
    assert(env.inner[1] == 5 and (not env.d.c or env.d.c[1] == 5), "the inner one is gone")
    env.d.a = env.new(7)
    assert(env.d.a.n == 7 and not env.d:lock():locked(), "the next call does not work")
  end,
}

return scenarios
