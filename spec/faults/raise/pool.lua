-- SPDX-License-Identifier: MIT
-- Scenarios of run.lua: pools and futures. What was given before has its result once, no item is done twice, the next
-- call works, the pool can be joined, and no worker is left.

local engine = require("spec.faults.raise.engine")
local mproc = require("mproc")

local scenarios = {}

local SECONDS = 10
local EARLY, ITEMS = 4, 12

local function times_ten(x) return x * 10 end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

-- A pool of which some futures are out, each with a callback that counts, and a function that counts what it does.
local function make(options)
  local env = { called = {}, failed = 0, done = mproc.Array("integer", ITEMS), options = options or {} }
  options = options and options.pool or {}
  options.processes = options.processes or 2
  env.pool = mproc.Pool(options)
  local done = env.done
  env.f = function(x)
    done:add(x, 1)
    return x * 10
  end
  env.early = {}
  for i = 1, EARLY do
    env.called[i] = 0
    env.early[i] = env.pool:apply_async(times_ten, { i }, nil, { callback = function(value)
      env.called[i] = env.called[i] + (value == i * 10 and 1 or 100)
    end })
  end
  env.bad = env.pool:apply_async(error, { { code = 5 } }, nil, { error_callback = function(err)
    env.failed = env.failed + (err.code == 5 and 1 or 100)
  end })
  return env
end

local function audit_early(env, what)
  local missing = 0
  for i, future in ipairs(env.early) do
    local value, word = future:get(SECONDS)
    assert(value == i * 10, ("what was given before has %s %s"):format(tostring(value), tostring(word)))
  end
  local err = env.bad:exception(SECONDS)
  assert(type(err) == "table" and err.code == 5, "what was given before has not its error")
  for _ = 1, 3 do env.pool:step(0) end
  for i = 1, EARLY do
    assert(env.called[i] <= 1, "a callback was called twice")
    missing = missing + 1 - env.called[i]
  end
  missing = missing + 1 - env.failed
  -- The error may have met a callback as well, which is told then.
  assert(missing <= (what.fired and not what.inside and 1 or 0), missing .. " callbacks were not called")
end

local function audit_items(env)
  for i = 1, ITEMS do
    assert(env.done[i] <= (env.times or 1), ("item %d was done %d times"):format(i, env.done[i]))
  end
end

local function audit_next(pool)
  local list = pool:map_async(times_ten, { 1, 2, 3 }):get(SECONDS)
  assert(type(list) == "table" and #list == 3 and list[1] == 10 and list[3] == 30, "the next map does not work")
  assert(pool:submit(times_ten, 4):get(SECONDS) == 40, "the next task does not work")
end

local function audit_join(pool)
  assert(pool:join(SECONDS), "join does not end: " .. tostring(pool))
  assert(#pool:workers() == 0, "workers are left")
end

local function audit(env, what)
  engine.collect()
  audit_early(env, what)
  audit_next(env.pool)
  audit_items(env)
  audit_join(env.pool)
  assert(not env.check or what.raised or env.check(env, what), "wrong results")
end

local function scenario(call, check, options)
  return {
    make = function()
      local env = make(options)
      env.check = check
      return env
    end,
    call = call,
    audit = audit,
  }
end

local function is_list(env)
  local list = env.result
  for i = 1, ITEMS do
    if list[i] ~= i * 10 then return false end
  end
  return #list == ITEMS
end

local function iterator(n)
  local i = 0
  return function()
    i = i + 1
    return i <= n and i or nil
  end
end

local LISTS = {
  ["map"] = function(env) env.result = env.pool:map(env.f, numbers(ITEMS)) end,
  ["map, one by one"] = function(env) env.result = env.pool:map(env.f, numbers(ITEMS), 1) end,
  ["map, in pieces"] = function(env) env.result = env.pool:map(env.f, numbers(ITEMS), 5) end,
  ["map, of an iterator"] = function(env) env.result = env.pool:map(env.f, iterator(ITEMS)) end,
  ["map, of two lists"] = function(env) env.result = env.pool:map(env.f, numbers(ITEMS), numbers(ITEMS)) end,
  ["map, with progress"] = function(env)
    env.result = env.pool:map(env.f, numbers(ITEMS), { progress = function() end })
  end,
  ["map_async"] = function(env) env.result = env.pool:map_async(env.f, numbers(ITEMS)):get() end,
  ["starmap"] = function(env)
    local items = {}
    for i = 1, ITEMS do items[i] = { i } end
    env.result = env.pool:starmap(env.f, items)
  end,
  ["starmap_async"] = function(env)
    local items = {}
    for i = 1, ITEMS do items[i] = { i } end
    env.result = env.pool:starmap_async(env.f, items):get()
  end,
  ["imap"] = function(env)
    env.result = {}
    for i, value in env.pool:imap(env.f, numbers(ITEMS)) do env.result[i] = value end
  end,
  ["imap, of an iterator"] = function(env)
    env.result = {}
    for i, value in env.pool:imap(env.f, iterator(ITEMS), 2) do env.result[i] = value end
  end,
  ["imap_unordered"] = function(env)
    env.result = {}
    for i, value in env.pool:imap_unordered(env.f, numbers(ITEMS)) do env.result[i] = value end
  end,
}
for name, call in pairs(LISTS) do
  scenarios["Pool:" .. name] = scenario(call, is_list)
end
scenarios["Pool:map, serial"] = scenario(LISTS.map, is_list, { pool = { processes = 0, serial = true } })
scenarios["Pool:map, of a pool with all options"] = scenario(LISTS.map, is_list, { pool = {
  initializer = print, initargs = { n = 0 }, finalizer = type, maxtasksperchild = 3, on_crash = "retry",
  task_timeout = 20, cpu_affinity = true,
} })
scenarios["Pool:map, of a pool with all options"].make = function()
  return setmetatable(make{ pool = { initializer = math.abs, initargs = { 1 }, finalizer = os.time,
    maxtasksperchild = 3, on_crash = "retry", task_timeout = 20 } }, nil)
end

-- What the iterator of an interrupted imap gives later is right, in order, and once.
scenarios["Pool:imap, and on behind the error"] = {
  make = make,
  call = function(env)
    env.result = {}
    env.iterator = env.pool:imap(env.f, numbers(ITEMS))
    for i, value in env.iterator do
      assert(not env.result[i], "given twice")
      env.result[i] = value
    end
  end,
  audit = function(env, what)
    for _ = 1, env.iterator and ITEMS + 1 or 0 do
      local ok, i, value = pcall(env.iterator)
      if not ok or i == nil then break end
      assert(not env.result[i] and value == i * 10, "wrong, or given twice: " .. tostring(i))
      env.result[i] = value
    end
    env.iterator = nil
    audit(env, what)
  end,
}
scenarios["Pool:imap, its next with a time"] = scenario(function(env)
  env.result = {}
  local stream = env.pool:imap(env.f, numbers(ITEMS))
  for _ = 1, ITEMS do
    local i, value
    repeat i, value = stream:next(0.01) until i
    env.result[i] = value
  end
end, is_list)
scenarios["Pool:imap, left"] = scenario(function(env)
  for i in env.pool:imap(times_ten, iterator(math.huge)) do
    if i == 3 then break end
  end
end)
scenarios["Pool:each"] = scenario(function(env) env.pool:each(env.f, numbers(ITEMS)) end)
scenarios["Pool:apply"] = scenario(function(env) env.result = env.pool:apply(env.f, { 3 }) end,
  function(env) return env.result == 30 end)
scenarios["Pool:apply, an error"] = scenario(function(env)
  local ok, err = pcall(env.pool.apply, env.pool, error, { { code = 9 } })
  env.result = not ok and type(err) == "table" and err.code
end)
scenarios["Pool:submit"] = scenario(function(env) env.late = env.pool:submit(env.f, 3) env.result = env.late:get() end,
  function(env) return env.result == 30 and env.late:get(SECONDS) == 30 end)
scenarios["Pool:apply_async"] = scenario(function(env)
  env.late = env.pool:apply_async(env.f, { 3 }, { 1 }, { callback = function() env.late_called = true end })
  env.late:wait()
end, function(env, what) return (env.late_called or what.fired) and env.late:get(SECONDS) == 30 end)
scenarios["Pool:apply_async, with a time"] = scenario(function(env)
  env.late = env.pool:apply_async(env.f, { 3 }, nil, { timeout = 60 })
  env.result = env.late:get()
end, function(env) return env.result == 30 end)
scenarios["Pool:map, with a time"] = scenario(function(env)
  env.result = env.pool:map(env.f, numbers(ITEMS), { timeout = 60 })
end, is_list)
scenarios["Pool:reduce"] = scenario(function(env)
  env.result = env.pool:reduce(env.f, numbers(ITEMS), function(a, b) return a + b end, 0, 3)
end, function(env) return env.result == ITEMS * (ITEMS + 1) * 5 end)
scenarios["Pool:filter"] = scenario(function(env)
  env.result = env.pool:filter(function(x) return x > 3 end, numbers(ITEMS))
end, function(env) return #env.result == ITEMS - 3 and env.result[1] == 4 end)
scenarios["Pool:any and all"] = scenario(function(env)
  env.result = env.pool:any(function(x) return x > 3 end, numbers(ITEMS))
    and not env.pool:all(function(x) return x < 3 end, numbers(ITEMS))
end, function(env) return env.result == true end)
scenarios["Pool:find"] = scenario(function(env)
  env.result = env.pool:find(function(x) return x > 3 end, numbers(ITEMS))
end, function(env) return env.result == 4 end)
scenarios["Pool:step and fileno"] = scenario(function(env)
  env.pool:fileno()
  for _ = 1, 5 do env.pool:step(0.001) end
end)
scenarios["Pool:stats, insights, workers"] = scenario(function(env)
  env.result = #env.pool:workers()
  tostring(env.pool:stats())
  env.pool:insights()
  tostring(env.pool)
end, function(env) return env.result == 2 end)
scenarios["Pool:resize"] = scenario(function(env)
  env.pool:resize(3)
  env.pool:resize(1)
end)
scenarios["Pool:map, a worker dies"] = scenario(function(env)
  local ok, err = pcall(env.pool.map, env.pool, function(x) if x == 3 then os.exit(4) end return x end, numbers(5), 1)
  env.result = not ok and type(err) == "table" and err.kind
end)
scenarios["Pool:map, a task takes too long"] = scenario(function(env)
  local ok, err = pcall(env.pool.apply, env.pool, mproc.sleep, { 60 })
  env.result = not ok and type(err) == "table" and err.kind
end, nil, { pool = { task_timeout = 0.05 } })

for _, name in ipairs({ "apply, an error", "map, a worker dies", "map, a task takes too long" }) do
  scenarios["Pool:" .. name].catches = true
end

-- Futures
local function future_scenario(call, check)
  return scenario(function(env) call(env, env.early[1], env.early[2]) end, check)
end
scenarios["Future:get"] = future_scenario(function(env, a, b) env.result = a:get() + b:get() end,
  function(env) return env.result == 30 end)
-- A task that waits for env.over, and then gives 7.
local function with_late()
  local env = make()
  env.over = mproc.Event()
  local over = env.over
  env.late = env.pool:submit(function() over:wait() return 7 end)
  return env
end
scenarios["Future:get, its time over"] = {
  make = with_late,
  call = function(env) env.late:get(0.005) end,
  audit = function(env, what)
    env.over:set()
    assert(env.late:get(SECONDS) == 7, "not its result")
    audit(env, what)
  end,
}
scenarios["Future:wait and what it tells"] = future_scenario(function(_, a, b)
  a:wait()
  local _ = { a:ready(), a:done(), a:successful(), a:running(), a:cancelled(), tostring(a), b:exception() }
end)
scenarios["Future:cancel"] = scenario(function(env)
  env.late = {}
  for i = 1, 5 do env.late[i] = env.pool:submit(env.f, i) end
  env.cancelled = {}
  for i = 5, 1, -1 do env.cancelled[i] = env.late[i]:cancel() end
end, function(env)
  for i = 1, 5 do
    if env.late[i]:cancelled() ~= env.cancelled[i] then return false end
  end
  return true
end)
scenarios["Future:terminate"] = {
  once = true,
  make = function()
    local env = make()
    env.late = env.pool:submit(mproc.sleep, 60)
    engine.settles("it has not begun", function() return env.late:running() end)
    return env
  end,
  call = function(env) env.result = env.late:terminate() end,
  audit = function(env, what)
    assert(what.raised or env.result, "it had ended")
    env.late:terminate()
    local err = env.late:exception(SECONDS)
    assert(type(err) == "table" and err.kind == "terminated", "not its error: " .. tostring(err))
    audit(env, what)
  end,
}
scenarios["Future:add_done_callback"] = {
  make = function()
    local env = make()
    env.count = 0
    return env
  end,
  call = function(env)
    env.early[1]:add_done_callback(function() env.count = env.count + 1 end)
    env.early[1]:wait()
    env.early[1]:add_done_callback(function() env.count = env.count + 1 end)
  end,
  audit = function(env, what)
    audit(env, what)
    local most = 2 * (env.times or 1)
    assert(env.count <= most and (env.count >= 2 or what.fired), env.count .. " of 2 callbacks were called")
  end,
}
scenarios["wait_all"] = scenario(function(env)
  local done, pending = mproc.wait_all(env.early)
  env.result = #done - #pending
end, function(env) return env.result == EARLY end)
scenarios["wait_all, the first"] = scenario(function(env)
  mproc.wait_all(env.early, "first_completed", 5)
  mproc.wait_all({ env.bad, env.early[1] }, "first_error", 5)
end)
scenarios["as_completed"] = scenario(function(env)
  env.result = 0
  for future in mproc.as_completed(env.early) do env.result = env.result + future:get() end
end, function(env) return env.result == EARLY * (EARLY + 1) * 5 end)
scenarios["mproc.wait, of futures"] = scenario(function(env)
  env.result = #mproc.wait(env.early)
end, function(env) return env.result > 0 end)

-- Beginnings and ends
scenarios["mproc.Pool"] = {
  make = function() return {} end,
  call = function(env) env.pool = mproc.Pool{ processes = 2, initializer = math.abs, initargs = { 1 } } end,
  audit = function(env)
    if env.pool then
      audit_next(env.pool)
      audit_join(env.pool)
    end
    env.pool = nil
    engine.settles("workers are left", function() return #mproc.active_children() == 0 end)
    local pool <close> = mproc.Pool(1)
    audit_next(pool)
  end,
}
scenarios["Pool, <close>"] = {
  make = function() return {} end,
  call = function()
    local pool <close> = mproc.Pool(2)
    pool:submit(times_ten, 1)
  end,
  audit = function()
    engine.settles("workers are left", function() return #mproc.active_children() == 0 end)
  end,
}
local function audit_end(env, what)
  engine.collect()
  audit_join(env.pool)
  for i, future in ipairs(env.early) do
    assert(future:get(0) == i * 10, "what was given before has no result")
  end
  assert(env.called[1] <= 1)
  assert(not pcall(env.pool.submit, env.pool, times_ten, 1), "a task was taken after close")
  return what
end
scenarios["Pool:close and join"] = {
  make = make, once = true, call = function(env) env.pool:close() env.result = env.pool:join() end, audit = audit_end,
}
scenarios["Pool:join, its time over"] = {
  make = with_late,
  call = function(env) env.pool:join(0.01) end,
  once = true,
  audit = function(env, what)
    env.over:set()
    audit_join(env.pool)
    assert(env.late:get(0) == 7, "not its result")
    audit_end(env, what)
  end,
}
local function audit_terminated(env)
  env.pool:terminate()
  engine.settles("workers are left", function() return #env.pool:workers() == 0 end)
  for i, future in ipairs(env.early) do
    local ok, value = pcall(future.get, future, SECONDS)
    assert(ok and value == i * 10 or not ok and value.kind == "terminated", "not its result: " .. tostring(value))
  end
  assert(not pcall(env.pool.submit, env.pool, times_ten, 1), "a task was taken after terminate")
end
scenarios["Pool:terminate"] = {
  make = make, once = true, call = function(env) env.pool:terminate() end, audit = audit_terminated,
}
scenarios["Pool:terminate, with a grace"] = {
  make = make, once = true, call = function(env) env.pool:terminate{ grace = 5 } end, audit = audit_terminated,
}

return scenarios
