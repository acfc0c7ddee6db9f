-- SPDX-License-Identifier: MIT
-- The keeper: what it says to the server, and what becomes of tasks when it, the server or the owner goes.

local fleet = require("redis.spec.support.fleet")
local keys = require("mproc.far.redis.keys")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")
local server = require("redis.spec.support.server")
local tasks = require("redis.spec.support.tasks")

if not server.there() then
  pending("the keeper: skipped, there is no redis-server here")
  return
end

local K = keys.of("spec")

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function doubled(n)
  local list = {}
  for i = 1, n do list[i] = 2 * i end
  return list
end

-- Waits until it is true.
local function await(what, test)
  local deadline = mproc.time() + 20
  while not test() do
    assert(mproc.time() < deadline, "in vain for " .. what)
    mproc.sleep(0.02)
  end
end

local function keeper_of()
  return assert(leaks.children()[1])
end

describe("the keeper", function()
  local s
  before_each(function()
    s = server.start()
  end)
  after_each(function()
    s:stop()
  end)

  local function is_done()
    return #s:call("XRANGE", K.tasks, "-", "+") == 0
  end

  it("leaves nothing at the server, and the last worker that leaves takes the rest", function()
    local f = fleet.start(s.url, 2)
    do
      local pool <close> = mproc.Pool{ url = s.url }
      assert.same(doubled(1000), pool:map(tasks.double, numbers(1000)))
      assert.equal(1, #s:call("KEYS", K.results))
    end
    assert.equal(0, #s:call("KEYS", K.results))
    assert.is_true(is_done())
    f:stop()
    assert.same({}, s:keys())
  end)

  it("deletes its stream when the pool is terminated, and what nobody has fetched", function()
    local pool = mproc.Pool{ url = s.url }
    local futures = {}
    for i = 1, 4 do futures[i] = pool:submit(tasks.double, i) end
    await("the tasks", function() return #s:call("XRANGE", K.tasks, "-", "+") == 4 end)
    pool:terminate()
    assert.equal("terminated", futures[1]:exception().kind)
    assert.equal(0, #s:call("KEYS", K.results))
    assert.is_true(is_done())
  end)

  it("takes back what is cancelled before a machine has fetched it, not later", function()
    local pool <close> = mproc.Pool{ url = s.url }
    local first = pool:submit(tasks.nap, 0.5)
    local all = pool:map_async(tasks.double, numbers(50), 10)
    await("the tasks", function() return #s:call("XRANGE", K.tasks, "-", "+") >= 4 end)
    assert.is_true(all:cancel())
    assert.is_true(all:cancelled())
    await("their end", function() pool:step(0) return #s:call("XRANGE", K.tasks, "-", "+") == 1 end)
    local f = fleet.start(s.url, 1)
    await("the worker", function() return #s:call("XPENDING", K.tasks, "w", "-", "+", 9) == 1 end)
    assert.is_false(first:cancel())
    assert.is_true(first:running())
    assert.equal(0.5, first:get(10))
    f:stop()
  end)

  it("takes back what a break leaves", function()
    local pool <close> = mproc.Pool{ url = s.url }
    local f = fleet.start(s.url, 1)
    for i, v in pool:imap(tasks.double, numbers(10000)) do
      assert.equal(2 * i, v)
      if i == 20 then break end
    end
    await("the end", is_done)
    await("the skipped", function() pool:step(0.01) return pool:stats().pending == 0 end)
    f:stop()
  end)

  it("is replaced when it dies: each item runs once more at most, and none is lost", function()
    local pool <close> = mproc.Pool{ url = s.url }
    local f = fleet.start(s.url, 1)
    local future = pool:map_async(tasks.slow, { { 1, 0.2 }, { 2, 0.2 }, { 3, 0.2 }, { 4, 0.2 } }, 1)
    await("a task", function() return #s:call("KEYS", K.tasks) == 1 and not is_done() end)
    os.execute("kill -KILL " .. keeper_of())
    assert.same({ 1, 2, 3, 4 }, future:get(20))
    assert.equal(0, pool:stats().retried)
    await("the old stream's end", function() return #s:call("KEYS", K.results) == 1 end)
    f:stop()
  end)

  it("ends with its owner, however that ends", function()
    local done = program.text(([[
      local mproc, tasks = require("mproc"), require("redis.spec.support.tasks")
      local pool = mproc.Pool{ url = "%s" }
      pool:submit(tasks.double, 1)
      local s = require("mproc.far.redis.session").new(require("mproc.far.redis.url").parse("%s"))
      repeat pool:step(0.05) until s:call(5, "KEYS", "*:r:*")[1]
      print(require("spec.support.leaks").children()[1])
      io.stdout:flush()
      os.execute("kill -KILL " .. mproc.getpid())]]):format(s.url, s.url))
    local pid = assert(math.tointeger(tonumber(done.out)))
    await("its end", function() return not server.runs(pid) end)
    local left = s:call("PTTL", s:call("KEYS", K.results)[1])
    assert.is_true(left > 0 and left <= 60000)
    local f = fleet.start(s.url, 1)
    s:call("PEXPIRE", s:call("KEYS", K.results)[1], 1)
    await("the task of nobody", is_done)
    f:stop()
  end)

  it("makes its stream again when that has expired, and loses nothing", function()
    local pool <close> = mproc.Pool{ url = s.url }
    local f = fleet.start(s.url, 1)
    assert.equal(2, pool:apply(tasks.double, { 1 }))
    s:call("DEL", s:call("KEYS", K.results)[1])
    local future = pool:submit(tasks.double, 5)
    assert.equal(10, future:get(30))
    f:stop()
  end)

  it("goes on after the server was killed, whether it knows everything still or nothing", function()
    for _, words in ipairs({ { "--appendonly", "yes" }, { "--appendonly", "no" } }) do
      local own = server.start(words)
      local pool <close> = mproc.Pool{ url = own.url }
      local f = fleet.start(own.url, 2)
      local future = pool:map_async(tasks.slow, (function()
        local items = {}
        for i = 1, 60 do items[i] = { i, 0.02 } end
        return items
      end)(), 1)
      await("some results", function() pool:step(0.02) return pool:stats().done > 5 end)
      own:kill()
      own:restart()
      assert.same(numbers(60), future:get(30))
      pool:join()
      f:stop()
      assert.same({}, own:keys())
      own:stop()
    end
  end)

  it("has no more out than the workers want, and the window holds", function()
    local pool <close> = mproc.Pool{ url = s.url, window = 300000 }
    local items = {}
    for i = 1, 40 do items[i] = ("x"):rep(100000) .. i end
    local futures = {}
    for i, item in ipairs(items) do futures[i] = pool:submit(tasks.all, item) end
    await("what the window takes", function() return #s:call("XRANGE", K.tasks, "-", "+") >= 3 end)
    pool:step(0.5)
    local out = #s:call("XRANGE", K.tasks, "-", "+")
    assert.is_true(out >= 3 and out <= 4, out)
    local f = fleet.start(s.url, 1)
    for i, future in ipairs(futures) do
      assert.equal(items[i], select(2, future:get(20)))
    end
    f:stop()
  end)

  it("keeps no memory of what is done", function()
    local pool <close> = mproc.Pool{ url = s.url }
    local f = fleet.start(s.url, 2)
    local function resident(pid)
      local file <close> = assert(io.open("/proc/" .. pid .. "/status"))
      return tonumber(file:read("a"):match("VmRSS:%s*(%d+)"))
    end
    local n, sum, before = tonumber(os.getenv("FLAT_ITEMS")) or 200000, 0, nil
    local function feed()
      local i = 0
      return function()
        i = i + 1
        return i <= n and i or nil
      end
    end
    local at = n // 5
    for i, v in pool:imap_unordered(tasks.double, feed()) do
      sum = sum + v
      if i and at then
        at = at - 1
        if at == 0 then
          collectgarbage()
          before, at = { resident("self"), resident(keeper_of()), s:call("MEMORY", "STATS") }, nil
        end
      end
    end
    assert.equal(n * (n + 1), sum)
    collectgarbage()
    assert.is_true(resident("self") < before[1] + 8192, resident("self") - before[1])
    assert.is_true(resident(keeper_of()) < before[2] + 8192, resident(keeper_of()) - before[2])
    f:stop()
  end)
end)
