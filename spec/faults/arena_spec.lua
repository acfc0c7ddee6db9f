-- SPDX-License-Identifier: MIT
-- A full arena: each allocation of each call fails in turn. The call says so and has done nothing, nobody crashes, and
-- with memory it works again.

local program = require("spec.support.program")

local PAGES = 200
local STRIDE = 7 -- where a call waits that the arena be less full, not every number is tried

-- A process that is started, gives its result and ends.
local PROCESS = [[
    return function()
      local p, message, name = mproc.Process(%s):start()
      if not p then return nil, message, name end
      local ok, result = pcall(p.result, p, 20)
      p:join()
      p:close()
      if ok then return result end
      assert(tostring(result):find("arena is full", 1, true), result)
      return nil, tostring(result), "ENOMEM"
    end]]

-- Lets so much through a queue that nothing like `more` finds room in its first segment.
local PASSES = [[
    local text, more = ("x"):rep(3000), ("y"):rep(2000)
    local function pass(put, get, into, from)
      for _ = 1, 21 do
        put(into, text)
        get(from)
      end
    end
]]

-- Calls, in the words of a Lua program: what prepares each, and what it returns: the call, and perhaps a check.
local CALLS = {
  ["Queue"] = "return mproc.Queue",
  ["Queue with a maxsize"] = "return function() return mproc.Queue(5) end",
  ["SimpleQueue"] = "return mproc.SimpleQueue",
  ["JoinableQueue"] = "return mproc.JoinableQueue",
  ["Pipe"] = "return mproc.Pipe",
  ["Lock"] = "return mproc.Lock",
  ["RLock"] = "return mproc.RLock",
  ["Semaphore"] = "return mproc.Semaphore",
  ["BoundedSemaphore"] = "return mproc.BoundedSemaphore",
  ["Condition"] = "return mproc.Condition",
  ["Event"] = "return mproc.Event",
  ["Barrier"] = "return function() return mproc.Barrier(3) end",
  ["RWLock"] = "return mproc.RWLock",
  ["Value"] = "return function() return mproc.Value('number') end",
  ["Array"] = "return function() return mproc.Array('double', 20000) end",
  ["put into a new queue"] = [[
    local q = mproc.Queue()
    return function() return q:put("short") end, function(ok)
      assert(q:qsize() == (ok and 1 or 0))
      assert(q:get(0) == (ok and "short" or nil))
    end]],
  ["put into a new segment"] = PASSES .. [[
    local q = mproc.Queue()
    pass(q.put, q.get, q, q)
    return function() return q:put(more) end, function(ok)
      assert(q:qsize() == (ok and 1 or 0))
      assert(q:get(0) == (ok and more or nil))
    end]],
  ["put of a long message"] = [[
    local q = mproc.Queue()
    local text = ("x"):rep(100000)
    return function() return q:put(text) end, function(ok)
      assert(q:get(0) == (ok and text or nil))
      assert(q:empty())
    end]],
  ["put of a queue"] = PASSES .. [[
    local q, inner = mproc.Queue(), mproc.Queue()
    pass(q.put, q.get, q, q)
    return function() return q:put({ inner, inner, more }) end, function(ok)
      assert((q:get(0) ~= nil) == ok)
    end]],
  ["put_many"] = [[
    local q = mproc.Queue()
    local text = ("x"):rep(5000)
    local list = {}
    for i = 1, 30 do list[i] = text .. i end
    local put
    return function()
      local message, name
      put, message, name = q:put_many(list)
      if put ~= 30 then return nil, message, name or "ENOMEM" end
      return put
    end, function()
      local n = 0
      while not q:empty() do
        n = n + 1
        assert(q:get(0) == list[n])
      end
      assert(n == (put or 0)) -- what was put stays
    end]],
  ["lease"] = [[
    local q = mproc.Queue()
    q:put({ "short" })
    return function()
      local value, lease, name = q:lease(0)
      if value == nil then return nil, lease, name end
      lease:done()
      q:put(value)
      return true
    end, function() assert(q:qsize() == 1) end]],
  ["send"] = [[
    local a, b = mproc.Pipe()
    local text = ("x"):rep(50000)
    return function() return a:send(text) end, function(ok)
      assert(b:poll(0) == ok)
      if ok then assert(b:recv(0) == text) end
    end]],
  ["send of a connection"] = PASSES .. [[
    local a, b = mproc.Pipe()
    local near, far = mproc.Pipe()
    pass(a.send, b.recv, a, b)
    return function() return a:send({ far, more }) end, function(ok)
      assert(b:poll(0) == ok)
      if ok then b:recv(0)[1]:close() end
      assert(near:poll(0) == false)
    end]],
  ["wait"] = [[
    local q, e = mproc.Queue(), mproc.Event()
    e:set()
    return function()
      local ready, word, name = mproc.wait({ q, e }, 1)
      if ready == nil then return nil, word, name end
      assert(ready[1] == e)
      return true
    end]],
  ["wait that sleeps"] = [[
    local q, e = mproc.Queue(), mproc.Event()
    return function()
      local ready, word, name = mproc.wait({ q, e }, 0.001)
      if ready == nil then return nil, word, name end
      assert(word == "timeout")
      return true
    end]],
  ["fileno"] = "local q = mproc.Queue() return function() return q:fileno() end",
  ["a process"] = PROCESS:format("function(x) return x + 1 end, 1"),
  ["a process with a long result"] = PROCESS:format('function() return ("x"):rep(40000) end'),
  ["Pool"] = [[
    return function()
      local pool, message, name = mproc.Pool(2)
      if not pool then return nil, message, name end
      local ok, result = pcall(function() return pool:submit(math.max, 1, 2):get(1) end)
      pool:terminate()
      if ok and result then return result end
      return nil, ok and "there is not MPROC_ARENA enough" or tostring(result), "ENOMEM"
    end]],
}

-- Of a pool that has its workers already: what goes in when the arena may be full comes out when there is room again.
local POOL_CALLS = {
  ["submit"] = "pool:submit(math.max, 1, 7)",
  ["submit with a long argument"] = "pool:submit(function(s) return #s - 29993 end, text)",
  ["submit with a long result"] = "pool:submit(function(s) return 7, s:rep(30000) end, 'x')",
  ["map_async"] = "pool:map_async(function(i) return i and 7, text end, { 1, 2, 3, 4, 5, 6 })",
}
for name, call in pairs(POOL_CALLS) do
  CALLS["a pool's " .. name] = ([[
    local text = ("x"):rep(30000)
    pool = pool or mproc.Pool(2)
    pool:map(math.abs, { 1, 2, 3 })
    local future
    return function()
      local ok, err = pcall(function() future = %s end)
      if not ok then return nil, tostring(err), "ENOMEM" end
      local worked, result, word = pcall(future.get, future, 1)
      if not worked then return nil, tostring(result), "ENOMEM" end
      if result == nil then return nil, word .. " for MPROC_ARENA is full", "ENOMEM" end
      return result
    end, function()
      if future then
        local ok, result = pcall(future.get, future, 20)
        assert(ok and (result == 7 or result[1] == 7) or tostring(result):find("MPROC_ARENA", 1, true), result)
        future = nil
      end
    end]]):format(call)
end

-- What needs no shared memory of its own: no outcome but success.
local NEEDS_NONE = { ["put into a new queue"] = true, ["wait"] = true, ["wait that sleeps"] = true, ["fileno"] = true }

describe("in a full arena", function()
  for name, prepare in pairs(CALLS) do
    it(name .. " fails as a whole or not at all, and works again", function()
      local stride = name:lower():find("pool") and STRIDE or 1
      local r = program.text(([[
        local mproc = require("mproc")
        local pool -- luacheck: ignore
        require("spec.support.full_arena").try(function() %s end, %d, %d)
      ]]):format(prepare, PAGES, stride), { seconds = 60, env = "MPROC_ARENA=16M LUA_PATH='./?.lua;'\"$LUA_PATH\"" })
      assert.is_false(r.timed_out)
      assert.equal(NEEDS_NONE[name] and "ok\n" or "full, ok\n", r.out, r.err)
      assert.equal(0, r.code, r.err)
    end)
  end
end)
