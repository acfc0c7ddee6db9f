-- SPDX-License-Identifier: MIT
-- reduce, each, filter, any, all, find; statistics, progress, hooks, sizes and the other comforts of a pool.

local inputs = require("spec.support.items")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")

describe("a pool's", function()
  leaks.watch()

  local numbers, endless = inputs.numbers, inputs.endless

  local function divides(by)
    return function(x)
      return x % by == 0
    end
  end

  it("reduce combines in the workers, in order", function()
    local pool <close> = mproc.Pool(2)
    local function add(a, b) return a + b end
    local function id(x) return x end
    assert.equal(50005000, pool:reduce(id, numbers(10000), add, 0))
    assert.equal(50005000, pool:reduce(id, numbers(10000), add))
    assert.equal(55, pool:reduce(id, numbers(10), add, 0, 3))
    assert.equal(7, pool:reduce(id, {}, add, 7))
    assert.is_nil(pool:reduce(id, {}, add))
    local text = {}
    for i = 1, 300 do text[i] = i .. "," end
    local function join(a, b) return a .. b end
    assert.equal(table.concat(text), pool:reduce(function(i) return i .. "," end, numbers(300), join, ""))
    local i = 0
    assert.equal(5050, pool:reduce(id, function()
      i = i + 1
      return i <= 100 and i or nil
    end, add, 0))
    assert.error_matches(function() pool:reduce(function(x) return x.y.z end, { {} }, add, 0) end, "index a nil value")
    assert.error_matches(function() pool:reduce(id, { 1 }, 0) end, "combine must be a function")
  end)

  it("each runs all and gives nothing; its errors are raised", function()
    local pool <close> = mproc.Pool(2)
    local q = mproc.Queue()
    assert.equal(0, select("#", pool:each(function(x) q:put(x) return x end, numbers(100))))
    assert.equal(100, q:qsize())
    assert.error_matches(function() pool:each(error, { "x" }) end, "x")
  end)

  it("filter keeps the items for which the function is true, in order", function()
    local pool <close> = mproc.Pool(2)
    assert.same({ 7, 14, 21, 28 }, pool:filter(divides(7), numbers(30)))
    assert.same({}, pool:filter(divides(7), {}))
    local i = 0
    assert.same({ 10, 20 }, pool:filter(divides(10), function()
      i = i + 1
      return i <= 25 and i or nil
    end))
  end)

  it("any, all and find stop early, in endless input too", function()
    local pool <close> = mproc.Pool(2)
    assert.is_true(pool:any(divides(100), endless()))
    assert.is_false(pool:all(function(x) return x < 100 end, endless()))
    assert.same({ 77, 77 }, { pool:find(divides(77), endless()) })
    assert.is_false(pool:any(divides(100), numbers(99)))
    assert.is_true(pool:all(divides(1), numbers(99)))
    assert.same({}, { pool:find(divides(100), numbers(99)) })
    assert.is_false(pool:any(divides(1), {}))
    assert.is_true(pool:all(divides(1), {}))
  end)

  it("find gives the first in order, though a later one is known before", function()
    local pool <close> = mproc.Pool(2)
    local gate = mproc.Queue()
    local item, index = pool:find(function(x)
      if x == "slow" then
        return gate:get()
      end
      gate:put(true)
      return true
    end, { "slow", "quick" }, 1)
    assert.same({ "slow", 1 }, { item, index })
  end)

  it("find cancels the rest", function()
    local pool <close> = mproc.Pool(2)
    local q = mproc.Queue()
    assert.equal(1, (pool:find(function(x)
      q:put(x)
      mproc.sleep(0.01)
      return x == 1
    end, numbers(500))))
    pool:join()
    assert.is_true(q:qsize() < 50)
  end)

  it("search raises the error of an item before the one that decides", function()
    local pool <close> = mproc.Pool(2)
    assert.error_matches(function() pool:find(function(x) return x.a end, { 5, { a = 1 } }) end, "index a number")
    assert.same({ a = 1 }, (pool:find(function(x) return x.a end, { { a = 1 }, 5 })))
  end)

  it("worker tells a task where it runs, and keeps a table for it", function()
    local pool <close> = mproc.Pool(2)
    assert.is_nil(mproc.worker())
    local function look()
      local me = mproc.worker()
      me.store.calls = (me.store.calls or 0) + 1
      return { index = me.index, pid = me.pid, own = mproc.getpid(), done = me.tasks_done, calls = me.store.calls }
    end
    local calls = { 0, 0 }
    for _ = 1, 25 do
      local seen = pool:apply(look)
      assert.equal(seen.own, seen.pid)
      assert.equal(seen.done + 1, seen.calls)
      assert.is_true(seen.calls > calls[seen.index])
      calls[seen.index] = seen.calls
    end
    assert.equal(25, calls[1] + calls[2])
    assert.is_nil(pool:apply(function()
      local p = mproc.Process(mproc.worker):start()
      return (p:result())
    end))
  end)

  it("initializer and finalizer run once in each worker", function()
    local q = mproc.Queue()
    do
      local pool <close> = mproc.Pool{ processes = 2, initargs = { "up", nil, "x", n = 3 }, initializer = function(...)
        q:put({ select("#", ...), (...) })
        mproc.worker().store.ready = true
      end, finalizer = function()
        q:put({ "down", mproc.worker().tasks_done })
      end }
      assert.same({ true, true, true, true }, pool:map(function() return mproc.worker().store.ready end, numbers(4)))
    end
    local done = 0
    for _ = 1, 4 do
      local what, n = table.unpack(q:get(0))
      if what == "down" then
        done = done + n
      else
        assert.same({ 3, "up" }, { what, n })
      end
    end
    assert.equal(4, done)
    assert.is_true(q:empty())
  end)

  it("stats count tasks, failures and seconds, and can be read", function()
    local pool <close> = mproc.Pool(2)
    pool:map(function() mproc.sleep(0.01) end, numbers(10))
    pcall(pool.apply, pool, error, { "x" })
    local stats = pool:stats()
    assert.same({ 10, 1, 0, 0 }, { stats.done, stats.failed, stats.retried, stats.pending })
    assert.is_true(stats.working >= 0.1 and stats.waiting > 0)
    local done = 0
    for i, w in ipairs(stats.workers) do
      assert.equal(pool:workers()[i], w.pid)
      done = done + w.done
    end
    assert.equal(10, done)
    assert.matches("^10 tasks done, 1 failed, 0 retried, 0 pending; 2 workers\n  worker 1 %(pid %d+%): %d+ done",
      tostring(stats))
  end)

  it("size can change", function()
    local pool <close> = mproc.Pool(1)
    assert.is_true(pool:resize(3))
    assert.equal(3, #pool:workers())
    local gate = mproc.Queue()
    local futures = {}
    for i = 1, 3 do
      futures[i] = pool:submit(function() gate:get() end)
    end
    for i = 1, 3 do
      proc.until_true(function() return futures[i]:running() end, "three at once")
    end
    gate:put_many({ 1, 2, 3 })
    mproc.wait_all(futures)
    pool:resize(1)
    proc.until_true(function()
      pool:step(0.01)
      return #pool:workers() == 1
    end, "one worker")
    assert.same({ 1, 2 }, pool:map(math.abs, { -1, -2 }))
    assert.error_matches(function() pool:resize(0) end, "at least 1")
  end)

  it("size can change though those that leave crash on their way", function()
    local pool <close> = mproc.Pool{ processes = 3, finalizer = function() os.exit(9) end }
    pool:resize(1)
    proc.until_true(function()
      pool:step(0.01)
      return #pool:workers() == 1
    end, "one worker")
    local pids = pool:workers()
    assert.equal(1, pool:apply(math.abs, { -1 }))
    assert.same(pids, pool:workers())
  end)

  it("size cannot change any more when no worker comes up", function()
    local pool <close> = mproc.Pool{ processes = 1, initializer = error, initargs = { { why = 1 } } }
    assert.is_false((pcall(pool.apply, pool, math.abs, { 1 })))
    assert.same({ false, { why = 1 } }, { pcall(pool.resize, pool, 2) })
  end)

  it("processes may be a share of the CPUs, or all but some", function()
    for given, expected in pairs({ ["50%"] = 4, ["1%"] = 1, ["100%"] = 8, [-1] = 7, [-20] = 1, [3] = 3 }) do
      local result = program.text(([[
        local mproc = require("mproc")
        local pool <close> = mproc.Pool(%q)
        print(#pool:workers())
      ]]):format(given), { seconds = 20, env = "MPROC_CPU_COUNT=8" })
      assert.equal(expected .. "\n", result.out, result.err)
    end
  end)

  it("cpu_affinity gives each worker a CPU", function()
    local pool <close> = mproc.Pool{ processes = 2, cpu_affinity = true }
    local masks = pool:map(function()
      local file <close> = assert(io.open("/proc/self/status"))
      mproc.sleep(0.05)
      return file:read("a"):match("Cpus_allowed_list:%s*(%S+)")
    end, { 1, 2 }, 1)
    for _, mask in ipairs(masks) do
      assert.matches("^%d+$", mask)
    end
  end)

  describe("progress", function()
    it("calls a function, with how many are done of how many", function()
      local pool <close> = mproc.Pool(2)
      local last
      pool:map(math.abs, numbers(50), { progress = function(done, total) last = { done, total } end })
      assert.same({ 50, 50 }, last)
      for _ in pool:imap(math.abs, numbers(20), { progress = function(done, total) last = { done, total } end }) do end
      assert.same({ 20, 20 }, last)
      pool:map(math.abs, numbers(5), { progress = function() error("bad") end })
    end)

    local PROGRAM = [[
      local mproc = require("mproc")
      local pool <close> = mproc.Pool{ processes = 2, progress = true }
      pool:map(math.abs, {1, 2, 3}%s)
    ]]

    it("is plain lines in a file, and nothing in a pipe unless asked for", function()
      local result = program.text(PROGRAM:format(""), { seconds = 20 })
      assert.matches("^map: 3/3, [%d.]+/s, 0:00\n$", result.err)
      local name = os.tmpname()
      for option, expected in pairs({ [""] = "^$", [", {progress = 'lines'}"] = "^map: 3/3" }) do
        local file <close> = assert(io.open(name, "w"))
        file:write(PROGRAM:format(option))
        file:close()
        result = program.shell(("%s %s 2>&1 | cat"):format(program.lua, name), 20)
        assert.matches(expected, result.out)
      end
      os.remove(name)
    end)

    it("is asked for in the same words for a pool as for a call", function()
      for _, progress in ipairs({ false, true, "bar", "lines", print }) do
        local pool <close> = mproc.Pool{ processes = 0, serial = true, progress = progress }
        assert.same({}, pool:map(math.abs, {}, { progress = false }))
      end
      local call <close> = mproc.Pool{ processes = 0, serial = true }
      for _, bad in ipairs({ "stars", 5 }) do
        assert.has_error(function() mproc.Pool{ processes = 0, serial = true, progress = bad } end)
        assert.has_error(function() call:map(math.abs, {}, { progress = bad }) end)
      end
    end)

    it("is a bar on a terminal", function()
      local name = os.tmpname()
      local file = assert(io.open(name, "w"))
      file:write(PROGRAM:format(""))
      file:close()
      local result = program.shell(("script -qec '%s %s' /dev/null"):format(program.lua, name), 20)
      os.remove(name)
      assert.matches("\rmap %[##############################%] 3/3, [%d.]+/s, 0:00", result.out)
    end)
  end)
end)
