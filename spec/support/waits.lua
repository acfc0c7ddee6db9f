-- SPDX-License-Identifier: MIT
-- Every call of mproc that waits: for specs of what may befall a wait (signals, steps of a clock).

local mproc = require("mproc")

local waits = {}

-- A process that holds something: what lets it go, and what closes the process then.
local function held_elsewhere(hold, let_go)
  local ready, over = mproc.Queue(), mproc.Event()
  local p = mproc.Process(function()
    hold()
    ready:put(true)
    over:wait()
    let_go()
  end):start()
  assert(ready:get(20))
  return function() over:set() end, function()
    p:join()
    p:close()
  end
end

local function lock_like(make, acquire, release, hold, let_go)
  return function()
    local x = make()
    local finish, close = held_elsewhere(function() x[hold or acquire](x) end,
      function() x[let_go or release](x) end)
    return function(timeout) return x[acquire](x, timeout) end, finish, { true }, { false, "timeout" }, function()
      x[release](x)
      close()
    end
  end
end

local function process_like(method, done, not_done)
  return function()
    local over = mproc.Event()
    local p = mproc.Process(function() over:wait() return "result" end):start()
    return function(timeout) return p[method](p, timeout) end, function() over:set() end, done, not_done,
      function() p:join() p:close() end
  end
end

local function future_like(call, done, not_done)
  return function()
    local pool = mproc.Pool(1)
    local over = mproc.Event()
    local future = pool:submit(function() over:wait() return "result" end)
    return function(timeout) return call(future, timeout, pool) end, function() over:set() end,
      done, not_done, function() pool:join() end
  end
end

local function list_like(make, fire)
  return function()
    local x, finish = make()
    return function(timeout)
      local ready, word = mproc.wait({ x }, timeout)
      return ready[1] ~= nil, word
    end, function() fire(x) end, { true }, { false, "timeout" }, finish
  end
end

-- Name -> make. make() returns wait(timeout), a function that lets a wait without a timeout end, what such a wait
-- returns then, what one whose time is over returns, and a function that cleans up after the former.
waits.calls = {
  ["Queue:get"] = function()
    local q = mproc.Queue()
    return function(timeout) return q:get(timeout) end, function() q:put("value") end, { "value" }, { nil, "empty" }
  end,
  ["Queue:get_many"] = function()
    local q = mproc.Queue()
    return function(timeout)
      local list, word = q:get_many(5, timeout)
      return list and list.n == 1 and list[1], word
    end, function() q:put("value") end, { "value" }, { nil, "empty" }
  end,
  ["Queue:put"] = function()
    local q = mproc.Queue(1)
    q:put(1)
    return function(timeout) return q:put(2, timeout) end, function() q:get() end, { true }, { false, "full" }
  end,
  ["Queue:put_many"] = function()
    local q = mproc.Queue(1)
    q:put(1)
    return function(timeout) return (q:put_many({ 2 }, timeout)) end, function() q:get() end, { 1 }, { 0 }
  end,
  ["Queue:lease"] = function()
    local q = mproc.Queue()
    local lease
    return function(timeout)
      local value, given = q:lease(timeout)
      lease = value and given
      return value, not value and given or nil
    end, function() q:put("value") end, { "value" }, { nil, "empty" }, function() lease:done() end
  end,
  ["JoinableQueue:join"] = function()
    local q = mproc.JoinableQueue()
    q:put(1)
    return function(timeout) return q:join(timeout) end, function() q:get() q:task_done() end, { true },
      { false, "timeout" }
  end,
  ["Connection:recv"] = function()
    local a, b = mproc.Pipe()
    return function(timeout) return b:recv(timeout) end, function() a:send("value") end, { "value" },
      { nil, "timeout" }
  end,
  ["Connection:recv_bytes"] = function()
    local a, b = mproc.Pipe()
    return function(timeout) return b:recv_bytes(100, timeout) end, function() a:send_bytes("value") end,
      { "value" }, { nil, "timeout" }
  end,
  ["Connection:poll"] = function()
    local a, b = mproc.Pipe()
    return function(timeout) return b:poll(timeout or math.huge) end, function() a:send("value") end, { true },
      { false, "timeout" }
  end,
  ["Lock:acquire"] = lock_like(mproc.Lock, "acquire", "release"),
  ["RLock:acquire"] = lock_like(mproc.RLock, "acquire", "release"),
  ["RWLock:write_acquire"] = lock_like(mproc.RWLock, "write_acquire", "write_release"),
  ["RWLock:read_acquire"] = lock_like(mproc.RWLock, "read_acquire", "read_release", "write_acquire", "write_release"),
  ["Semaphore:acquire"] = lock_like(mproc.Semaphore, "acquire", "release"),
  ["BoundedSemaphore:acquire"] = lock_like(mproc.BoundedSemaphore, "acquire", "release"),
  ["Condition:wait"] = function()
    local c = mproc.Condition()
    return function(timeout) return c:with(function() return c:wait(timeout) end) end,
      function() c:with(function() c:notify_all() end) end, { true }, { false, "timeout" }
  end,
  ["Condition:wait_for"] = function()
    local c, v = mproc.Condition(), mproc.Value("boolean")
    local function is_true() return v.value end
    return function(timeout) return c:with(function() return c:wait_for(is_true, timeout) end) end,
      function() c:with(function() v.value = true c:notify_all() end) end, { true }, { false, "timeout" }
  end,
  ["Event:wait"] = function()
    local e = mproc.Event()
    return function(timeout) return e:wait(timeout) end, function() e:set() end, { true }, { false, "timeout" }
  end,
  ["Barrier:wait"] = function()
    local b = mproc.Barrier(2)
    return function(timeout)
      local index, word = b:wait(timeout)
      if word == "timeout" then b:reset() end
      return index ~= nil, word
    end, function() b:wait() end, { true }, { false, "timeout" }
  end,
  ["Process:join"] = process_like("join", { true }, { false, "timeout" }),
  ["Process:result"] = process_like("result", { "result" }, { nil, "timeout" }),
  ["Future:get"] = future_like(function(f, timeout) return f:get(timeout) end, { "result" }, { nil, "timeout" }),
  ["Future:wait"] = future_like(function(f, timeout) return f:wait(timeout) end, { true }, { false, "timeout" }),
  ["wait_all"] = future_like(function(f, timeout) return #mproc.wait_all({ f }, "all", timeout) end, { 1 }, { 0 }),
  ["Pool:join"] = future_like(function(_, timeout, pool) return pool:join(timeout) end, { true }, { false, "timeout" }),
  ["wait for a queue"] = list_like(mproc.Queue, function(q) q:put(1) end),
  ["wait for a connection"] = function()
    local a, b = mproc.Pipe()
    return list_like(function() return b end, function() a:send(1) end)()
  end,
  ["wait for an event"] = list_like(mproc.Event, function(e) e:set() end),
  ["wait for a process"] = list_like(function()
    local p = mproc.Process(function() mproc.sleep(100) end):start()
    return p, function() p:join() p:close() end
  end, function(p) p:kill() end),
}

return waits
