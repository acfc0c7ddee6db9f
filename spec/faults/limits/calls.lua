-- SPDX-License-Identifier: MIT
-- Every parameter that is a number. Used by run.lua.
--
-- Name -> { words = texts of which an error names one, call(v) -> whether the outcome is right, skip(v) }. call raises
-- as mproc does, and gives nil, message, NAME as mproc does; only what returned otherwise is checked by it.

local mproc = require("mproc")
local part_of = require("spec.faults.limits.part")

local calls = {}

-- Timeouts. What is waited for comes by itself, a little later: so a long one must not end before.

local BIT = 0.005

-- A daemon that calls f(x) a little after it was asked to.
local function later(f)
  local asked = mproc.Queue()
  mproc.Process{ daemon = true, target = function()
    for _ in asked:items() do
      mproc.sleep(BIT)
      f()
    end
  end }:start()
  return function() asked:put(true) end
end

local function is_long(v) return v > BIT * 100 end

-- wait(timeout) -> ok, word. It has to be ok when the time is long, and may not be when it is short.
local function timeout(name, words, make)
  local wait, fire, reset
  calls[name] = {
    words = words or { "timeout" },
    call = function(v)
      if not wait then wait, fire, reset = make() end
      fire()
      local ok, word, code = wait(v)
      if code then return nil, word, code end
      local right = ok or not is_long(v) and (word == "timeout" or word == "empty" or word == "full")
      if not ok then assert(wait(20)) end
      reset()
      return right
    end,
  }
end

local function nothing() end

timeout("Event:wait", nil, function()
  local e = mproc.Event()
  return function(t) return e:wait(t) end, later(function() e:set() end), function() e:clear() end
end)
timeout("Queue:get", nil, function()
  local q = mproc.Queue()
  return function(t) return q:get(t) end, later(function() q:put("x") end), nothing
end)
timeout("Queue:get_many, the time", nil, function()
  local q = mproc.Queue()
  return function(t) return q:get_many(1, t) end, later(function() q:put("x") end), nothing
end)
timeout("Queue:lease", nil, function()
  local q = mproc.Queue()
  return function(t)
    local value, lease = q:lease(t)
    if value then lease:done() end
    return value, lease
  end, later(function() q:put("x") end), nothing
end)
timeout("Queue:put", nil, function()
  local q = mproc.Queue(1)
  q:put("x")
  return function(t) return q:put("x", t) end, later(function() q:get() end), nothing
end)
timeout("Queue:put_many, the time", nil, function()
  local q = mproc.Queue(1)
  q:put("x")
  return function(t)
    local n, word = q:put_many({ "x" }, t)
    return n == 1, word
  end, later(function() q:get() end), nothing
end)
timeout("JoinableQueue:join", nil, function()
  local q = mproc.JoinableQueue()
  local fire = later(function() q:get() q:task_done() end)
  return function(t) return q:join(t) end, function() q:put("x") fire() end, nothing
end)
timeout("Connection:recv", nil, function()
  local a, b = mproc.Pipe()
  return function(t) return b:recv(t) end, later(function() a:send("x") end), nothing
end)
timeout("Connection:recv_bytes, the time", nil, function()
  local a, b = mproc.Pipe()
  return function(t) return b:recv_bytes(nil, t) end, later(function() a:send_bytes("x") end), nothing
end)
timeout("Connection:poll", nil, function()
  local a, b = mproc.Pipe()
  return function(t) return b:poll(t) end, later(function() a:send("x") end), function() b:recv() end
end)
for _, kind in ipairs({ "Semaphore", "BoundedSemaphore" }) do
  timeout(kind .. ":acquire", nil, function()
    local s = mproc[kind](1)
    s:acquire()
    return function(t) return s:acquire(t) end, later(function() s:release() end), nothing
  end)
end
-- A lock that another process holds for a little.
local function held(make, acquire, release, how)
  return function()
    local x, asked, taken = make(), mproc.Queue(), mproc.Queue()
    mproc.Process{ daemon = true, target = function()
      for _ in asked:items() do
        x[acquire](x)
        taken:put(true)
        mproc.sleep(BIT)
        x[release](x)
      end
    end }:start()
    return function(t)
      if how then
        local g, word = x[how](x, t)
        if g then g:release() end
        return g and true, word
      end
      return x[acquire](x, t)
    end, function()
      asked:put(true)
      taken:get()
    end, function()
      if not how then x[release](x) end
    end
  end
end
timeout("Lock:acquire", nil, held(mproc.Lock, "acquire", "release"))
timeout("Lock:guard", nil, held(mproc.Lock, "acquire", "release", "guard"))
timeout("RLock:acquire", nil, held(mproc.RLock, "acquire", "release"))
timeout("RWLock:write_acquire", nil, held(mproc.RWLock, "write_acquire", "write_release"))
timeout("RWLock:write_guard", nil, held(mproc.RWLock, "write_acquire", "write_release", "write_guard"))
timeout("Condition:wait", nil, function()
  local c = mproc.Condition()
  return function(t) return c:with(function() return c:wait(t) end) end,
    later(function() c:with(function() c:notify_all() end) end), nothing
end)
timeout("Condition:wait_for", nil, function()
  local c, v = mproc.Condition(), mproc.Value("boolean")
  return function(t)
    return c:with(function() return c:wait_for(function() return v.value end, t) end)
  end, later(function() c:with(function() v.value = true c:notify_all() end) end), function() v.value = false end
end)
timeout("Barrier:wait", nil, function()
  local b, ready = mproc.Barrier(2), mproc.Queue()
  local fire = later(function() b:wait(20) ready:put(true) end)
  return function(t)
    local index, word = b:wait(t)
    if word then
      ready:get()
      b:reset()
      fire()
    end
    return index, word
  end, fire, function() ready:get() end
end)
local function process(call)
  return function()
    local p
    return function(t) return call(p, t) end, function()
      p = mproc.Process(function() mproc.sleep(BIT) return true end):start()
    end, function()
      p:join()
      p:close()
    end
  end
end
timeout("Process:join", nil, process(function(p, t) return p:join(t) end))
timeout("Process:result", nil, process(function(p, t) return p:result(t) end))
timeout("wait, of a process", nil, process(function(p, t)
  local ready, word = mproc.wait({ p }, t)
  return ready[1], word
end))
local function future(call)
  return function()
    local f
    local pool = mproc.Pool(1)
    return function(t) return call(f, t, pool) end, function()
      f = pool:submit(function() mproc.sleep(BIT) return true end)
    end, function() f:wait() end
  end
end
timeout("Future:get", nil, future(function(f, t) return f:get(t) end))
timeout("Future:wait", nil, future(function(f, t) return f:wait(t) end))
timeout("Future:exception", nil, future(function(f, t)
  local err, word = f:exception(t)
  return err == nil and word == nil, word
end))
timeout("wait_all", nil, future(function(f, t)
  local done = mproc.wait_all({ f }, t)
  return done[1], not done[1] and "timeout" or nil
end))
timeout("as_completed", nil, future(function(f, t) return mproc.as_completed({ f }, t)() end))
timeout("wait, of a future", nil, future(function(f, t)
  local ready, word = mproc.wait({ f }, t)
  return ready[1], word
end))
timeout("Pool:step", nil, future(function(f, t, pool)
  pool:step(t)
  return f:done(), "timeout"
end))
calls["Pool:step"].call = (function(call) return function(v) return call(v) ~= nil end end)(calls["Pool:step"].call)
timeout("Pool:join", nil, function()
  local pool
  return function(t) return pool:join(t) end, function()
    pool = mproc.Pool(1)
    pool:submit(mproc.sleep, BIT)
  end, nothing
end)
timeout("wait, of a queue", nil, function()
  local q = mproc.Queue()
  return function(t)
    local ready, word = mproc.wait({ q }, t)
    return ready[1], word
  end, later(function() q:put("x") end), function() q:get() end
end)
timeout("wait, of a descriptor", nil, function()
  local q = mproc.Queue()
  local fd = q:fileno()
  return function(t)
    local ready, word = mproc.wait({ fd }, t)
    return ready[1], word
  end, later(function() q:put("x") end), function() q:get() end
end)
calls["sleep"] = {
  words = { "seconds", "sleep", "timeout" }, skip = is_long, call = function(v) mproc.sleep(v) return v == v end,
}
calls["Barrier, its own time"] = {
  words = { "timeout" }, call = function(v)
    local b = mproc.Barrier(1, nil, v)
    return b:wait() == 0
  end,
}

-- Counts of what is made

local function permits(kind)
  return { words = { "permits", "n must", "count", "value" }, call = function(v)
    local s, message, code = mproc[kind](v)
    if not s then return s, message, code end
    return s:get_value() == v and s:acquire(0) == (v > 0)
  end }
end
calls["Semaphore"] = permits("Semaphore")
calls["BoundedSemaphore"] = permits("BoundedSemaphore")
calls["Semaphore:release"] = { words = { "k ", "permits", "release" }, call = function(v)
  local s = mproc.Semaphore(3)
  s:release(v)
  return s:get_value() == 3 + math.tointeger(v)
end }
calls["BoundedSemaphore:release"] = { words = { "k ", "permits", "release", "semaphore" }, call = function(v)
  local s = mproc.BoundedSemaphore(3)
  s:acquire()
  s:release(v)
  return v == 1 and s:get_value() == 3
end }
calls["Barrier"] = { words = { "parties" }, call = function(v)
  local b, message, code = mproc.Barrier(v)
  if not b then return b, message, code end
  local index, word = b:wait(0)
  return b.parties == v and (index == 0) == (v == 1) and (v == 1 or word == "timeout")
end }
calls["Condition:notify"] = { words = { "n ", "notify", "count" }, call = function(v)
  local c = mproc.Condition()
  local _ <close> = c:guard()
  c:notify(v)
  return v >= 0
end }
for _, kind in ipairs({ "Queue", "JoinableQueue" }) do
  calls[kind .. ", maxsize"] = { words = { "maxsize" }, call = function(v)
    local q, message, code = mproc[kind](v)
    if not q then return q, message, code end
    return q:put(1, 0) and q:full() == (v == 1) and q:get(0) == 1
  end }
end
calls["Queue{ maxsize = }"] = { words = { "maxsize" }, call = function(v)
  local q, message, code = mproc.Queue{ maxsize = v }
  if not q then return q, message, code end
  return q:put(1, 0) and q:full() == (v == 1) and q:get(0) == 1
end }
calls["Queue:get_many"] = { words = { "max" }, call = function(v)
  local q = mproc.Queue()
  q:put_many({ 1, 2, 3 })
  local list = q:get_many(v, 0)
  return list.n == math.min(v, 3) and list[1] == 1
end }
calls["Queue:items"] = { words = { "n ", "count", "items" }, call = function(v)
  local q, n = mproc.Queue(), 0
  q:put_many({ 1, 2, 3 })
  q:close()
  for i, x in q:items(v) do
    n = n + 1
    if i ~= n or x ~= n then return false end
  end
  return n == 3
end }

local TYPES = { "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "integer", "number", "float",
  "double" }
for _, t in ipairs(TYPES) do
  local wraps = t == "integer" or t == "int64"
  -- Whether x is v, as exactly as the type can tell.
  local function near(x, v)
    local exact = t ~= "float" and t ~= "double" and (t ~= "uint64" or v < 1 << 53)
    x, v = exact and x or x + 0.0, exact and v or v + 0.0
    if math.type(x) == "float" then
      v = string.unpack("d", string.pack("d", v)) -- as it is in memory: some processors reckon with more bits
    end
    local slack = exact and 0 or math.abs(v) * (t == "float" and 1e-6 or 1e-15)
    return x == v or v ~= v and x ~= x or t == "float" and math.abs(v) > 3e38
      or math.abs(x - v) <= slack
  end
  calls[t .. ", Value"] = { words = { t, "Value" }, call = function(v)
    local x, message, code = mproc.Value(t, v)
    if not x then return x, message, code end
    return near(x.value, v)
  end }
  calls[t .. ", set and exchange"] = { words = { t, "Value" }, call = function(v)
    local x = mproc.Value(t)
    x.value = v
    return near(x.value, v) and near(x:exchange(0), v)
  end }
  calls[t .. ", add"] = { words = { t, "Value" }, call = function(v)
    local x = mproc.Value(t, 1)
    local sum = x:add(v)
    local exact = math.tointeger(v)
    return near(sum, exact and (wraps or exact < math.maxinteger) and 1 + exact or 1.0 + v)
  end }
  calls[t .. ", elements"] = { words = { t, "Array", "element" }, call = function(v)
    local a = mproc.Array(t, 3)
    a[2] = v
    a:set(1, { v })
    a:fill(v)
    return near(a[3], v) and near(a:exchange(3, 1), v)
  end }
end
calls["Array, n"] = { words = { "n ", "Array", "how many", "length", "count" }, call = function(v)
  local a, message, code = mproc.Array("int8", v)
  if not a then return a, message, code end
  return #a == v and (v == 0 or a[v] == 0)
end }
calls["Array, n of doubles"] = { words = { "n ", "Array", "how many", "length", "count" }, call = function(v)
  local a, message, code = mproc.Array("double", v)
  if not a then return a, message, code end
  return #a == v and (v == 0 or a[v] == 0)
end }
calls["Array, n of a list"] = { words = { "n ", "list", "Array", "element" }, call = function(v)
  local a, message, code = mproc.Array("integer", { 1, 2, n = v })
  if not a then return a, message, code end
  return #a == v and v <= 2
end }
calls["Array, an index read"] = { words = { "index" }, call = function(v)
  local a = mproc.Array("integer", { 1, 2, 3 })
  return a[v] == ({ 1, 2, 3 })[v]
end }
local function indexed(f)
  return { words = { "index", "outside", "i must", "from 1 to", "fit" }, call = function(v)
    local a = mproc.Array("integer", { 1, 2, 3 })
    f(a, v)
    return v >= 1 and v <= 3
  end }
end
calls["Array, an index written"] = indexed(function(a, v) a[v] = 5 end)
calls["Array:add, an index"] = indexed(function(a, v) a:add(v, 1) end)
calls["Array:exchange, an index"] = indexed(function(a, v) a:exchange(v, 1) end)
calls["Array:compare_exchange, an index"] = indexed(function(a, v) a:compare_exchange(v, 1, 2) end)
calls["Array:set, an index"] = indexed(function(a, v) a:set(v, { 7 }) end)
calls["Array:set, n of the list"] = { words = { "n ", "list", "fit", "element" }, call = function(v)
  local a = mproc.Array("integer", { 1, 2, 3 })
  a:set(1, { 7, 8, n = v })
  return v <= 2 and v >= 0
end }
local function part(f)
  return { words = { "i ", "j ", "i must", "index", "integer" }, call = f }
end
local LIST = { 1, 2, 3 }
local function as_string_sub(i, j)
  local s = part_of("\1\2\3", i, j)
  return #s, s
end
calls["Array:sub, i"] = part(function(v)
  return #mproc.Array("integer", LIST):sub(v) == as_string_sub(v)
end)
calls["Array:sub, j"] = part(function(v)
  return #mproc.Array("integer", LIST):sub(1, v) == as_string_sub(1, v)
end)
calls["Array:bytes, i"] = part(function(v)
  return mproc.Array("uint8", LIST):bytes(v) == select(2, as_string_sub(v))
end)
calls["Array:bytes, j"] = part(function(v)
  return mproc.Array("uint8", LIST):bytes(1, v) == select(2, as_string_sub(1, v))
end)
calls["Array:set_bytes, an index"] = { words = { "index", "fit", "i must", "integer" }, call = function(v)
  local a = mproc.Array("uint8", LIST)
  a:set_bytes(v, "x")
  return v >= 1 and v <= 3 and a[v] == 120
end }
local function sent(i, j)
  local a, b = mproc.Pipe()
  a:send_bytes("\1\2\3", i, j)
  return b:recv_bytes() == select(2, as_string_sub(i, j))
end
calls["Connection:send_bytes, i"] = part(function(v) return sent(v) end)
calls["Connection:send_bytes, j"] = part(function(v) return sent(1, v) end)
calls["Connection:recv_bytes, the length"] = { words = { "maxlength", "longer" }, call = function(v)
  local a, b = mproc.Pipe()
  a:send_bytes("abc")
  return b:recv_bytes(v) == "abc" and v >= 3
end }

-- Lists whose n is honoured

-- What is right takes for ever, or all memory, where n is honest about so many nils.
local function is_endless(v) return v > 70000 and v < 1 << 53 end

local function list(words, f, skip)
  return { words = words, skip = skip, call = f }
end
calls["wait, n of the list"] = list({ "list", "n " }, function(v)
  local e = mproc.Event()
  e:set()
  local ready = mproc.wait({ e, e, n = v }, 0)
  return v <= 2 and #ready == v
end)
calls["wait_all, n of the list"] = list({ "list", "n ", "future" }, function(v)
  local pool <close> = mproc.Pool(1)
  local done = mproc.wait_all({ pool:submit(math.abs, 1), n = v }, 5)
  return v <= 1 and #done == v
end)
calls["as_completed, n of the list"] = list({ "list", "n ", "future" }, function(v)
  local pool <close> = mproc.Pool(1)
  local n = 0
  for f in mproc.as_completed({ pool:submit(math.abs, 1), n = v }, 5) do n = n + (f and 1 or 0) end
  return v <= 1 and n == v
end)
calls["Queue:put_many, n of the list"] = list({ "list", "n " }, function(v)
  local q = mproc.Queue()
  local n, message, code = q:put_many({ 1, 2, n = v }, 0)
  if not n then return n, message, code end
  return n == v and q:qsize() == v
end, is_endless)
calls["Process, n of args"] = list({ "args", "n " }, function(v)
  local p = mproc.Process{ target = select, args = { "#", n = v } }:start()
  local ok, n = pcall(p.result, p, 20)
  return ok and n == v - 1 or not ok and v <= 0
end)
calls["Pool:apply, n of args"] = list({ "args", "n " }, function(v)
  local pool <close> = mproc.Pool(1)
  local n = pool:apply(function(...) return select("#", ...) end, { 1, n = v })
  return n == v
end)
calls["Pool, n of initargs"] = list({ "initargs", "n " }, function(v)
  local pool <close> = mproc.Pool{ processes = 1, initargs = { 1, n = v }, initializer = function(...)
    mproc.worker().store.n = select("#", ...)
  end }
  return pool:apply(function() return mproc.worker().store.n end) == v
end)
calls["Pool:map, n of the items"] = list({ "items", "n ", "list" }, function(v)
  local pool <close> = mproc.Pool(1)
  local n = 0
  pool:map(function() return 1 end, { 1, 2, n = v })
  for _ in ipairs(pool:map(function() return 1 end, { 1, 2, n = v })) do n = n + 1 end
  return n == v
end, is_endless)
calls["Pool:imap, n of the items"] = list({ "items", "n ", "list" }, function(v)
  local pool <close> = mproc.Pool(1)
  local i, x = pool:imap(function(x) return x end, { 5, 6, n = v }, 1)()
  pool:terminate()
  return i == (v > 0 and 1 or nil) and x == (v > 0 and 5 or nil)
end)
calls["Pool:starmap, n of an item"] = list({ "item", "n ", "list" }, function(v)
  local pool <close> = mproc.Pool(1)
  return pool:starmap(function(...) return select("#", ...) end, { { 1, n = v } })[1] == v
end)

-- Options of pools

local function option(name, skip, words)
  return { words = words or { name }, skip = skip, call = function(v)
    local pool, message, code = mproc.Pool{ processes = 1, [name] = v }
    if not pool then return pool, message, code end
    local right = pool:apply(math.abs, { -3 }) == 3
    pool:terminate()
    return right
  end }
end
calls["Pool, maxtasksperchild"] = option("maxtasksperchild")
calls["Pool, retries"] = option("retries")
calls["Pool, task_timeout"] = option("task_timeout", function(v) return v > 0 and v < 1 end)
calls["Pool, processes"] = { words = { "processes" }, skip = function(v) return v > 2 and v <= 1 << 20 end,
  call = function(v)
    local pool, message, code = mproc.Pool{ processes = v }
    if not pool then return pool, message, code end
    local right = pool:apply(math.abs, { -3 }) == 3 and v < 3
    pool:terminate()
    return right
  end }
calls["Pool:resize"] = { words = { "processes", "n " }, skip = function(v) return v > 2 and v <= 1 << 20 end,
  call = function(v)
    local pool <close> = mproc.Pool{ processes = 1 }
    local ok, message, code = pool:resize(v)
    if not ok then return ok, message, code end
    return v < 3 and pool:apply(math.abs, { -3 }) == 3
  end }
local function chunked(f)
  local pool
  return { words = { "chunksize" }, call = function(v)
    pool = pool or mproc.Pool(2)
    return f(pool, v)
  end }
end
local function ten(x) return x * 10 end
local ITEMS = { 1, 2, 3, 4, 5 }
calls["Pool:map, chunksize"] = chunked(function(pool, v)
  local result = pool:map(ten, ITEMS, v)
  return #result == 5 and result[5] == 50
end)
calls["Pool:map, chunksize option"] = chunked(function(pool, v)
  local result = pool:map(ten, ITEMS, { chunksize = v })
  return #result == 5 and result[5] == 50
end)
calls["Pool:map, chunksize of an iterator"] = chunked(function(pool, v)
  local i = 0
  local result = pool:map(ten, function()
    i = i + 1
    return ITEMS[i]
  end, v)
  return #result == 5 and result[5] == 50
end)
calls["Pool:imap, chunksize"] = chunked(function(pool, v)
  local n = 0
  for i, x in pool:imap(ten, ITEMS, v) do
    n = n + 1
    if i ~= n or x ~= n * 10 then return false end
  end
  return n == 5
end)
calls["Pool:reduce, chunksize"] = chunked(function(pool, v)
  return pool:reduce(ten, ITEMS, function(a, b) return a + b end, 0, v) == 150
end)
for _, name in ipairs({ "cpu", "fsize", "nofile", "core", "stack", "nproc", "data", "as" }) do
  local enough = ({ nofile = 64, cpu = 5, fsize = 0, core = 0, stack = 1 << 22, data = 1 << 28, as = 1 << 31,
    nproc = 0 })[name]
  calls["Pool, rlimit." .. name] = { words = { name }, skip = function(v) return v >= 0 and v < enough end,
    call = function(v)
      local pool, message, code = mproc.Pool{ processes = 1, rlimit = { [name] = v } }
      if not pool then return pool, message, code end
      local right = pool:apply(math.abs, { -3 }) == 3
      pool:terminate()
      return right
    end }
end

return calls
