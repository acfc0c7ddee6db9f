-- SPDX-License-Identifier: MIT
-- Where mproc calls a program's own function. Used by run.lua.
--
-- A place: { side = "owner" | "worker", options(act) -> of the pool, before(act) -> made before the pool,
-- call(pool, act, made) -> whether the results are right }. act is called where the place says. fate says what becomes
-- of an error there:
--   "raised"   the call raises it (the default)
--   "told"     the call goes on and stderr has its text
--   "silent"   the call goes on; Lua or mproc may warn of it
--   "breaks"   every call of the pool raises it from then on

local acts = require("spec.faults.user_code.acts")
local class = require("spec.faults.user_code.hooked")
local mproc = require("mproc")

local places = {}

local OWNER = mproc.getpid()
local ITEMS = 6

local function in_worker(act)
  return function(...)
    if mproc.getpid() ~= OWNER then act() end
    return ...
  end
end

local function in_owner(act)
  return function(...)
    if mproc.getpid() == OWNER then act() end
    return ...
  end
end

local function numbers()
  local list = {}
  for i = 1, ITEMS do list[i] = i end
  return list
end

local function is_list(list)
  for i = 1, ITEMS do
    if list[i] ~= i * 10 then return false end
  end
  return #list == ITEMS
end

-- An iterator that acts once, in its middle.
local function acting(act)
  local i = 0
  return function()
    i = i + 1
    if i == 3 then act() end
    return i <= ITEMS and i or nil
  end
end

-- Workers

places["a task"] = {
  side = "worker", call = function(pool, act) return pool:apply(function(x) act() return x end, { 5 }) == 5 end,
}
places["an item of map"] = {
  side = "worker", call = function(pool, act)
    return is_list(pool:map(function(x) if x == 3 then act() end return x * 10 end, numbers(), 2))
  end,
}
places["an item of imap"] = {
  side = "worker", call = function(pool, act)
    local list = {}
    for i, x in pool:imap(function(x) if x == 3 then act() end return x * 10 end, numbers(), 1) do list[i] = x end
    return is_list(list)
  end,
}
places["a predicate"] = {
  side = "worker", call = function(pool, act)
    return #pool:filter(function(x) if x == 3 then act() end return x > 2 end, numbers()) == ITEMS - 2
  end,
}
places["combine in a worker"] = {
  side = "worker", call = function(pool, act)
    local once = in_worker(act)
    return pool:reduce(acts.times_ten, numbers(), function(a, b) once() return a + b end, 0, 3) == 210
  end,
}
places["the initializer"] = {
  side = "worker", fate = "breaks", options = function(act) return { initializer = act } end,
  call = function(pool) return pool:apply(acts.times_ten, { 5 }) == 50 end,
}
places["the finalizer"] = {
  side = "worker", fate = "silent", options = function(act) return { finalizer = act } end,
  call = function(pool)
    local right = pool:apply(acts.times_ten, { 5 }) == 50
    pool:resize(1)
    return right
  end,
}
places["the hook that encodes a result"] = {
  side = "worker", before = function(act) return class(in_worker(act)) end,
  call = function(pool, _, new)
    return pool:apply(function() return new(5) end).n == 5
  end,
}
places["the hook that decodes an argument"] = {
  side = "worker", before = function(act) return class(nil, in_worker(act)) end,
  call = function(pool, _, new)
    return pool:apply(function(object) return object.n end, { new(5) }) == 5
  end,
}
places["the hook that decodes an upvalue"] = {
  side = "worker", before = function(act) return class(nil, in_worker(act))(5) end,
  call = function(pool, _, object)
    return pool:apply(function() return object.n end) == 5
  end,
}
places["__tostring of what a task raises"] = {
  side = "worker", fate = "raised in words", call = function(pool, act)
    local ok = pcall(pool.apply, pool, function()
      error(setmetatable({}, { __tostring = function() act() return "its text" end }))
    end)
    return not ok
  end,
}
places["__close in a task"] = {
  side = "worker", call = function(pool, act)
    return pool:apply(function()
      local _ <close> = setmetatable({}, { __close = function() act() end })
      return 5
    end) == 5
  end,
}
places["__gc in a task"] = {
  side = "worker", fate = "silent", call = function(pool, act)
    return pool:apply(function()
      for _ = 1, 2 do
        setmetatable({}, { __gc = function() act() end })
        collectgarbage()
      end
      return 5
    end) == 5
  end,
}
places["an error handler in a task"] = {
  side = "worker", fate = "silent", call = function(pool, act)
    return pool:apply(function()
      xpcall(error, function() act() end, "x")
      return 5
    end) == 5
  end,
}

-- The owner

local function reading(call)
  return { side = "owner", call = function(pool, act) return is_list(call(pool, acting(act))) end }
end
places["the iterator of map"] = reading(function(pool, next_item) return pool:map(acts.times_ten, next_item) end)
places["the iterator of map, one by one"] = reading(function(pool, next_item)
  return pool:map(acts.times_ten, next_item, 1)
end)
places["the iterator of map_async"] = reading(function(pool, next_item)
  return pool:map_async(acts.times_ten, next_item):get()
end)
places["the iterator of imap"] = reading(function(pool, next_item)
  local list = {}
  for i, x in pool:imap(acts.times_ten, next_item) do list[i] = x end
  return list
end)
places["the iterator of imap_unordered"] = reading(function(pool, next_item)
  local list = {}
  for i, x in pool:imap_unordered(acts.times_ten, next_item) do list[i] = x end
  return list
end)
places["the iterator of filter"] = {
  side = "owner", call = function(pool, act)
    return #pool:filter(function(x) return x > 2 end, acting(act)) == ITEMS - 2
  end,
}
places["the iterator of reduce"] = {
  side = "owner", call = function(pool, act)
    return pool:reduce(acts.times_ten, acting(act), function(a, b) return a + b end, 0) == 210
  end,
}
places["__close of an iterator"] = {
  side = "owner", call = function(pool, act)
    local closing = setmetatable({}, { __close = function() act() end })
    return is_list(pool:map(acts.times_ten, acting(function() end), nil, nil, closing))
  end,
}
places["__index of items"] = {
  side = "owner", call = function(pool, act)
    local items = setmetatable({ n = ITEMS }, { __index = function(_, i)
      if i == 3 then act() end
      return type(i) == "number" and i <= ITEMS and i or nil
    end })
    return is_list(pool:map(acts.times_ten, items))
  end,
}
-- Combine travels, so the act must not be among its upvalues.
places["combine in the owner"] = {
  side = "owner", call = function(pool, act)
    rawset(_G, "act_of_combine", act)
    return pool:reduce(acts.times_ten, numbers(), function(a, b)
      local here = rawget(_G, "act_of_combine")
      if here then here() end
      return a + b
    end, 0, 2) == 210
  end,
}
for which, result in pairs({ callback = 1, error_callback = 2 }) do
  places["the " .. which] = {
    side = "owner", fate = "told", call = function(pool, act)
      local f = result == 1 and acts.times_ten or function() error("failed") end
      local future = pool:apply_async(f, { 5 }, nil, { [which] = function() act() end })
      return future:wait(10) and future:successful() == (result == 1)
    end,
  }
end
places["a callback of a future"] = {
  side = "owner", fate = "told", call = function(pool, act)
    local future = pool:submit(acts.times_ten, 5)
    future:add_done_callback(function() act() end)
    return future:wait(10) and future:get() == 50
  end,
}
places["a callback of a future that has ended"] = {
  side = "owner", fate = "told", call = function(pool, act)
    local future = pool:submit(acts.times_ten, 5)
    future:wait(10)
    future:add_done_callback(function() act() end)
    return future:get() == 50
  end,
}
places["progress"] = {
  side = "owner", fate = "told or raised", call = function(pool, act)
    return is_list(pool:map(acts.times_ten, numbers(), { progress = function() act() end }))
  end,
}
places["the hook that encodes an argument"] = {
  side = "owner", before = function(act) return class(in_owner(act)) end,
  call = function(pool, _, new)
    return pool:apply(function(object) return object.n end, { new(5) }) == 5
  end,
}
places["the hook that encodes an item"] = {
  side = "owner", before = function(act) return class(in_owner(act)) end,
  call = function(pool, _, new)
    local list = pool:map(function(object) return object.n end, { new(1), new(2), new(3) }, 1)
    return #list == 3 and list[3] == 3
  end,
}
places["the hook that encodes an upvalue"] = {
  side = "owner", before = function(act) return class(in_owner(act))(5) end,
  call = function(pool, _, object)
    return pool:apply(function() return object.n end) == 5
  end,
}
places["the hook that decodes a result"] = {
  side = "owner", before = function(act) return class(nil, in_owner(act)) end,
  call = function(pool, _, new)
    return pool:apply(function() return new(5) end).n == 5
  end,
}
places["the hook that decodes an item's result"] = {
  side = "owner", before = function(act) return class(nil, in_owner(act)) end,
  call = function(pool, _, new)
    local list = pool:map(function(i) return new(i) end, { 1, 2, 3 }, 1)
    return #list == 3 and list[3].n == 3
  end,
}
places["the hook that decodes an error"] = {
  side = "owner", fate = "raised in words", before = function(act) return class(nil, in_owner(act)) end,
  call = function(pool, _, new)
    return not pcall(pool.apply, pool, function() error(new(5)) end)
  end,
}
places["__gc in the owner"] = {
  side = "owner", fate = "silent", call = function(pool, act)
    local right = true
    for _ = 1, 3 do
      for _ = 1, 20 do setmetatable({}, { __gc = function() act() end }) end
      collectgarbage("step")
      right = right and is_list(pool:map(acts.times_ten, numbers(), 2))
    end
    collectgarbage()
    return right
  end,
}
places["an error handler in the owner"] = {
  side = "owner", fate = "silent", call = function(pool, act)
    return not xpcall(pool.map, function() act() end, pool, function() error("x") end, { 1, 2 })
  end,
}
places["the body of imap's loop"] = {
  side = "owner", call = function(pool, act)
    local list = {}
    for i, x in pool:imap(acts.times_ten, numbers(), 1) do
      if i == 2 then act() end
      list[i] = x
    end
    return is_list(list)
  end,
}
places["the body of as_completed's loop"] = {
  side = "owner", call = function(pool, act)
    local n = 0
    for _ in mproc.as_completed({ pool:submit(acts.times_ten, 1), pool:submit(acts.times_ten, 2) }) do
      n = n + 1
      if n == 1 then act() end
    end
    return n == 2
  end,
}

return places
