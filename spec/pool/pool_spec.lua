-- SPDX-License-Identifier: MIT
-- Pools: what apply, submit and map give, how functions and values get to workers, and how a pool ends.

local inputs = require("spec.support.items")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

local late_global

describe("a pool", function()
  leaks.watch()

  local function add(a, b)
    return a + b
  end

  local function square(x)
    return x * x
  end

  local numbers = inputs.numbers

  describe("applies", function()
    it("a function and gives all its results", function()
      local pool <close> = mproc.Pool(2)
      local function several(a, b) return a + b, nil, "x", nil end
      assert.same({ 3, nil, "x", nil, n = 4 }, table.pack(pool:apply(several, { 1, 2 })))
      assert.equal(0, select("#", pool:apply(function() end)))
      assert.equal(1, select("#", pool:apply(function() return nil end)))
    end)

    it("it in another process", function()
      local pool <close> = mproc.Pool(1)
      local pid, ppid = pool:apply(function() return mproc.getpid(), mproc.getppid() end)
      assert.are_not.equal(mproc.getpid(), pid)
      assert.equal(mproc.getpid(), ppid)
      assert.same({ pid }, pool:workers())
    end)

    it("arguments with nils, and named ones as a table after them", function()
      local pool <close> = mproc.Pool(1)
      local function pack(...)
        return table.pack(...)
      end
      assert.same({ nil, 2, nil, n = 3 }, pool:apply(pack, { nil, 2, nil, n = 3 }))
      assert.same({ 1, { unit = "km" }, n = 2 }, pool:apply(pack, { 1 }, { unit = "km" }))
      assert.same({ nil, "b", nil, n = 3 }, pool:submit(pack, nil, "b", nil):get())
      assert.same({ 5, { k = 1 }, n = 2 }, pool:apply_async(pack, { 5 }, { k = 1 }):get())
    end)

    it("functions of modules, C functions included", function()
      local pool <close> = mproc.Pool(1)
      assert.equal("ABC", pool:apply(string.upper, { "abc" }))
      assert.same({ "A", "B" }, pool:map(string.upper, { "a", "b" }))
    end)
  end)

  describe("sends functions", function()
    it("that were made after it, with upvalues", function()
      local pool <close> = mproc.Pool(2)
      local factor, offset = 3, { value = 4 }
      local function scale(x)
        return add(x * factor, offset.value)
      end
      assert.same({ 7, 10, 13 }, pool:map(scale, { 1, 2, 3 }))
    end)

    it("with upvalues as they are at each submit", function()
      local pool <close> = mproc.Pool(2)
      local n, box = 1, { n = 1 }
      local function both()
        return n, box.n
      end
      for i = 1, 5 do
        n, box.n = i, -i
        assert.same({ i, -i }, { pool:apply(both) })
      end
      local futures = {}
      for i = 1, 20 do
        n, box.n = i, i
        futures[i] = pool:submit(both)
      end
      for i = 1, 20 do
        assert.same({ i, i }, { futures[i]:get() })
      end
    end)

    it("whose changes to upvalues stay where they are made", function()
      local pool <close> = mproc.Pool(1)
      local count = 0
      local function bump()
        count = count + 1
        return count
      end
      pool:apply(bump)
      pool:apply(bump)
      pool:apply(bump)
      assert.equal(0, count)
    end)

    it("with mproc objects and modules as upvalues", function()
      local pool <close> = mproc.Pool(2)
      local q, lfs = mproc.Queue(), require("lfs")
      pool:map(function(x)
        q:put({ x, type(lfs.currentdir()) })
      end, { 1, 2, 3 })
      local sum = 0
      for _ = 1, 3 do
        local got = q:get(0)
        sum = sum + got[1]
        assert.equal("string", got[2])
      end
      assert.equal(6, sum)
    end)

    it("of which each call makes a new one, in bounded memory", function()
      local pool <close> = mproc.Pool(2)
      local function round(from)
        for i = from, from + 300 do
          assert.same({ i + 1, i + 2 }, pool:map(function(x) return x + i end, { 1, 2 }))
          assert.equal(i, pool:submit(function() return i end):get())
        end
      end
      round(1)
      local published = 0
      for _ in pairs(pool[require("mproc.pool.record").STATE].functions.published) do
        published = published + 1
      end
      assert.is_true(published < 50)
      local before = require("mproc.core").stats().used
      round(1000)
      round(5000)
      assert.is_true(require("mproc.core").stats().used <= before + 512 * 1024)
    end)

    it("again when a worker has been replaced", function()
      local pool <close> = mproc.Pool(1)
      local k = 5
      local function plus(x)
        return x + k
      end
      assert.equal(6, pool:apply(plus, { 1 }))
      assert.equal(6, pool:apply(plus, { 1 }))
      assert.has_error(function() pool:apply(function() os.exit(0) end) end)
      assert.equal(7, pool:apply(plus, { 2 }))
    end)

    it("but refuses what cannot travel, by its path, at the caller's line", function()
      local pool <close> = mproc.Pool(1)
      local log = io.stdout
      local _, message = pcall(function() pool:apply(function() log:write() end) end)
      assert.matches("^spec/pool/pool_spec%.lua:%d+: cannot send f%.<upvalue log", message)
      _, message = pcall(function() pool:submit(add, 1, { log = io.stdout }) end)
      assert.matches("^spec/pool/pool_spec%.lua:%d+: cannot send args%[2%]%.log: a file", message)
      _, message = pcall(function() pool:map(square, { 1, 2, { coroutine.create(add) } }) end)
      assert.matches("cannot send items%[3%]", message)
      _, message = pcall(function() pool:apply(add, { pool }) end)
      assert.matches("a pool belongs to", message)
      assert.equal(3, pool:apply(add, { 1, 2 }))
    end)

    it("and sees globals that the pool was made with, not later ones", function()
      local pool <close> = mproc.Pool(1)
      late_global = 7 -- luacheck: ignore
      assert.equal(7, pool:apply(function() return late_global end))
    end)
  end)

  describe("maps", function()
    it("in order, whatever the chunks", function()
      local pool <close> = mproc.Pool(3)
      local expected = {}
      for i = 1, 500 do
        expected[i] = i * i
      end
      for _, chunksize in ipairs({ false, 1, 7, 499, 500, 10000 }) do
        assert.same(expected, pool:map(square, numbers(500), chunksize or nil))
      end
    end)

    it("nothing to an empty list", function()
      local pool <close> = mproc.Pool(2)
      assert.same({}, pool:map(square, {}))
      assert.same({}, pool:starmap(square, {}))
      assert.same({}, pool:map_async(square, {}):get())
      assert.same({}, pool:map(square, function() end))
    end)

    it("lists with nils, by their n", function()
      local pool <close> = mproc.Pool(2)
      assert.same({ "nil", "number", "nil" }, pool:map(type, { nil, 2, nil, n = 3 }))
    end)

    it("iterators, with and without the generic for's other values", function()
      local pool <close> = mproc.Pool(2)
      local i = 0
      assert.same({ 1, 4, 9 }, pool:map(square, function()
        i = i + 1
        return i <= 3 and i or nil
      end))
      assert.same({ "A", "B", "C" }, pool:map(string.upper, ("a b c"):gmatch("%a")))
      assert.same({ 11, 22 }, pool:map(add, ipairs({ 10, 20 })))
      local name = os.tmpname()
      local file <close> = assert(io.open(name, "w"))
      file:write("one\ntwo\nthree\n")
      file:flush()
      assert.same({ 3, 3, 5 }, pool:map(function(line) return #line end, io.lines(name)))
      os.remove(name)
    end)

    it("lists of arguments with starmap, and several lists at once", function()
      local pool <close> = mproc.Pool(2)
      assert.same({ 3, 7 }, pool:starmap(add, { { 1, 2 }, { 3, 4 } }))
      assert.same({ 3, 7 }, pool:starmap_async(add, { { 1, 2 }, { 3, 4 } }):get())
      assert.same({ "1nil", "nil2" }, pool:starmap(function(a, b) return tostring(a) .. tostring(b) end,
        { { 1, n = 2 }, { nil, 2, n = 2 } }))
      assert.same({ 11, 22 }, pool:map(add, { { 1, 2 }, { 10, 20, 30 } }, { zip = true }))
    end)

    it("starmap's items that are no lists as errors, which cost no worker", function()
      local pool <close> = mproc.Pool(1)
      local pid = pool:workers()[1]
      for _, item in ipairs({ 5, "x", { n = "y" }, { n = 1 << 40 } }) do
        assert.error_matches(function() pool:starmap(add, { item }) end, "list of arguments")
      end
      assert.equal(pid, pool:apply(mproc.getpid))
    end)

    it("asynchronously, so that the items are a snapshot", function()
      local pool <close> = mproc.Pool(2)
      local items = numbers(100)
      local future = pool:map_async(square, items)
      for i = 1, 100 do
        items[i] = 0
      end
      local squares = future:get()
      assert.equal(100 * 100, squares[100])
      assert.equal(1, squares[1])
    end)

    it("without an owner that looks: an asynchronous map goes on by itself", function()
      local pool <close> = mproc.Pool(2)
      local seen = mproc.Queue()
      pool:map_async(function(x) seen:put(x) end, numbers(300))
      for _ = 1, 300 do
        assert.truthy(seen:get(20))
      end
    end)

    it("and gives long results and many of them without anybody reading", function()
      local pool <close> = mproc.Pool(2)
      local futures = {}
      for i = 1, 200 do
        futures[i] = pool:submit(string.rep, "x", 100000)
      end
      pool:close()
      assert.is_true(pool:join(60))
      for i = 1, 200 do
        assert.equal(100000, #futures[i]:get())
      end
    end)

    it("shared objects made by the tasks", function()
      local pool <close> = mproc.Pool(2)
      local queues = pool:map(function(x)
        local q = mproc.Queue()
        q:put(x)
        return q
      end, { 1, 2, 3 })
      for i = 1, 3 do
        assert.equal(i, queues[i]:get(0))
      end
    end)
  end)

  describe("raises", function()
    it("tables as they were raised, and strings with the remote traceback", function()
      local pool <close> = mproc.Pool(1)
      local ok, err = pcall(pool.apply, pool, function() error({ code = 7 }) end)
      assert.is_false(ok)
      assert.same({ code = 7 }, err)
      ok, err = pcall(pool.apply, pool, function() error("oh no") end)
      assert.is_false(ok)
      assert.matches("^spec/pool/pool_spec%.lua:%d+: oh no\nremote traceback of worker 1 %(pid %d+%):\n", err)
      assert.matches("%[C%]: in function 'error'\n\tspec/pool/pool_spec%.lua:%d+: in function <[^\n]+>$", err)
      assert.same({ false, 42 }, { pcall(pool.apply, pool, function() error(42) end) })
      ok, err = pcall(pool.apply, pool, function() error() end)
      assert.is_false(ok)
      assert.matches("^%(error object is nil%)\nremote traceback of worker 1 %(pid %d+%):\n", err)
    end)

    it("of a map the first item's error, when all is done", function()
      local pool <close> = mproc.Pool(2)
      local done = mproc.Queue()
      local ok, err = pcall(pool.map, pool, function(x)
        if x % 10 == 3 then
          error({ item = x })
        end
        done:put(x)
        return x
      end, numbers(50), 1)
      assert.is_false(ok)
      assert.same({ item = 3 }, err)
      assert.equal(45, done:qsize())
    end)

    it("what a result that cannot travel is", function()
      local pool <close> = mproc.Pool(1)
      local _, message = pcall(pool.apply, pool, function() return 1, { f = io.stdout } end)
      assert.matches("cannot send result%[2%]%.f: a file", message)
      _, message = pcall(pool.apply, pool, function() error({ f = io.stdout }) end)
      assert.matches("cannot send error%.f: a file", message)
      assert.matches("remote traceback", message)
      assert.equal(4, pool:apply(square, { 2 }))
    end)

    fork_it("what a value says that cannot be read, on either side", function()
      -- a metatable that this file alone has registered
      local mt = { __mproc_encode = function(self) return self.mode end }
      local here = mproc.getpid()
      mproc.register("spec.pool_hook", mt, {
        decode = function(mode)
          if mode == "nowhere" or (mode == "not here") == (mproc.getpid() == here) then
            error("cannot be read " .. mode)
          end
          return setmetatable({ mode = mode }, mt)
        end,
      })
      local second <close> = mproc.Pool(1) -- which knows the hook
      local _, message = pcall(second.apply, second, type, { setmetatable({ mode = "nowhere" }, mt) })
      assert.matches("cannot be read nowhere", message)
      _, message = pcall(second.map, second, type, { 1, setmetatable({ mode = "nowhere" }, mt) })
      assert.matches("cannot be read nowhere", message)
      _, message = pcall(second.apply, second, function() return setmetatable({ mode = "not here" }, mt) end)
      assert.matches("cannot be read not here", message)
      assert.equal(4, second:apply(square, { 2 }))
    end)
  end)

  describe("checks at the call", function()
    local function message_of(f)
      local ok, message = pcall(f)
      assert.is_false(ok)
      assert.matches("^spec/pool/pool_spec%.lua:%d+: ", message)
      return message
    end

    it("its options", function()
      for _, bad in ipairs({ 0, 1.5, "x", "0%", true, -0.5 }) do
        message_of(function() mproc.Pool(bad) end)
      end
      assert.matches("serial = true", message_of(function() mproc.Pool(0) end))
      assert.matches("did you write", message_of(function() mproc.Pool({ initializer = 5 }) end))
      for name, bad in pairs({
        maxtasksperchild = 0, on_crash = "again", retries = -1, task_timeout = 0, rlimit = { x = 1 },
        progress = 5, cpu_affinity = 1, initargs = 5, serial = "yes", proceses = 2,
      }) do
        assert.matches(name, message_of(function() mproc.Pool({ processes = 1, [name] = bad }) end))
      end
    end)

    it("tasks, arguments, items and chunk sizes", function()
      local pool <close> = mproc.Pool(1)
      assert.matches("the task is nil", message_of(function() pool:apply(nil) end))
      assert.matches("without quotes", message_of(function() pool:submit("f") end))
      assert.matches("f%(...%) instead of f", message_of(function() pool:map(5, {}) end))
      assert.matches("got a table", message_of(function() pool:map({ 1 }, square) end))
      assert.matches("list of arguments, got 5; write", message_of(function() pool:apply_async(square, 5) end))
      assert.matches("list of arguments, got \"hello\"", message_of(function() pool:apply(square, "hello") end))
      assert.matches("kwargs", message_of(function() pool:apply(square, { a = 1 }) end))
      assert.matches("kwargs", message_of(function() pool:apply(square, {}, 5) end))
      assert.matches("items must be a list", message_of(function() pool:map(square, 5) end))
      assert.matches("items must be a list", message_of(function() pool:imap(square) end))
      for _, bad in ipairs({ 0, -1, 1.5, "3", true }) do
        assert.matches("chunksize", message_of(function() pool:map(square, { 1 }, bad) end))
        assert.matches("chunksize", message_of(function() pool:imap(square, { 1 }, bad) end))
      end
      assert.matches("timeout", message_of(function() pool:join(true) end))
      assert.matches("callback", message_of(function() pool:apply_async(square, { 1 }, nil, { callback = 5 }) end))
    end)

    it("that it is open, and names the state and the remedy", function()
      local pool <close> = mproc.Pool(1)
      pool:close()
      assert.matches("closed.*make a new one", message_of(function() pool:apply(square, { 1 }) end))
      assert.matches("closed.*make a new one", message_of(function() pool:map(square, { 1 }) end))
      assert.matches("closed.*make a new one", message_of(function() pool:imap(square, { 1 }) end))
      pool:join()
      local other = mproc.Pool(1)
      other:terminate()
      assert.matches("terminated.*make a new one", message_of(function() other:submit(square, 1) end))
    end)

    it("that they are called with a colon", function()
      local pool <close> = mproc.Pool(1)
      for _, wrong in ipairs({ 5, "x", {}, square }) do
        assert.matches("with a colon", message_of(function() pool.map(wrong, { 1 }) end))
        assert.matches("with a colon", message_of(function() pool.join(wrong) end))
      end
    end)

    fork_it("that its owner calls", function()
      -- a pool is inherited
      local pool <close> = mproc.Pool(1)
      local p <close> = mproc.Process(function()
        return pcall(pool.apply, pool, square, { 2 })
      end):start()
      local ok, message = p:result(20)
      assert.is_false(ok)
      assert.matches("belongs to the process that made it", message)
    end)
  end)

  describe("ends", function()
    it("by join, which closes and waits for all that was given", function()
      local pool = mproc.Pool(2)
      local future = pool:map_async(square, numbers(1000))
      assert.is_true(pool:join())
      assert.equal(1000, #future:get())
      assert.same({}, pool:workers())
      assert.is_true(pool:join())
      pool:terminate()
    end)

    it("a join after its time, and goes on", function()
      local pool <close> = mproc.Pool(1)
      local gate = mproc.Queue()
      pool:submit(function() gate:get() end)
      assert.same({ false, "timeout" }, { pool:join(0.05) })
      gate:put(true)
      assert.is_true(pool:join(20))
    end)

    it("by its scope: joined at its end, terminated by an error", function()
      local future, slow
      do
        local pool <close> = mproc.Pool(2)
        future = pool:submit(square, 3)
      end
      assert.equal(9, future:get(0))
      local began = mproc.time()
      assert.has_error(function()
        local pool <close> = mproc.Pool(2)
        slow = pool:submit(mproc.sleep, 60)
        error("out")
      end, "out")
      assert.is_true(mproc.time() - began < 10)
      assert.error_matches(function() slow:get() end, "terminated")
    end)

    it("at once by terminate, whatever is queued; what is pending fails", function()
      local pool = mproc.Pool(2)
      local futures = {}
      for i = 1, 1000 do
        futures[i] = pool:submit(mproc.sleep, 60)
      end
      local list = pool:map_async(mproc.sleep, { 60, 60 })
      local began = mproc.time()
      pool:terminate()
      assert.is_true(mproc.time() - began < 5)
      for _, future in ipairs({ futures[1], futures[1000], list }) do
        local ok, err = pcall(future.get, future)
        assert.is_false(ok)
        assert.equal("terminated", err.kind)
      end
      pool:terminate()
      pool:close()
      assert.is_true(pool:join())
      assert.is_false(pool:step(0))
      for _, future in ipairs(futures) do
        future:exception()
      end
    end)

    it("when it is dropped: its workers are gone", function()
      local pids = mproc.Pool(2):workers()
      collectgarbage()
      collectgarbage()
      for _, pid in ipairs(pids) do
        proc.until_true(function()
          local state = proc.state(pid)
          return state == nil or state == "Z"
        end, "the end of worker " .. pid)
      end
      mproc.active_children()
    end)

    it("with the program that never closed it", function()
      local result = program.text([[
        local mproc = require("mproc")
        pool = mproc.Pool(2)
        future = pool:submit(mproc.sleep, 60)
        print(table.concat(pool:workers(), " "))
      ]], { seconds = 20 })
      assert.is_false(result.timed_out)
      assert.equal(0, result.code)
      assert.equal("", result.err)
      for pid in result.out:gmatch("%d+") do
        assert.is_nil(proc.state(pid))
      end
    end)
  end)

  it("lives inside a worker of another", function()
    local pool <close> = mproc.Pool(2)
    local sums = pool:map(function(n)
      local inner <close> = mproc.Pool(2)
      local sum = 0
      for _, v in inner:imap(function(x) return x * n end, { 1, 2, 3 }) do
        sum = sum + v
      end
      return sum
    end, { 1, 10 })
    assert.same({ 6, 60 }, sums)
    local _, message = pcall(pool.apply, pool, function()
      local inner <close> = mproc.Pool(1)
      inner:apply(function() error("deep") end)
    end)
    assert.matches("deep\nremote traceback of worker 1", message)
  end)

  it("runs tasks in the caller when it is serial", function()
    local pool <close> = mproc.Pool{ processes = 0, serial = true }
    local here = mproc.getpid()
    assert.equal(here, pool:apply(mproc.getpid))
    assert.same({ 1, 4, 9 }, pool:map(square, { 1, 2, 3 }))
    local seen = {}
    for i, v in pool:imap(square, numbers(20)) do
      seen[i] = v
    end
    assert.equal(400, seen[20])
    assert.same({ false, "here" }, { pcall(pool.apply, pool, error, { "here" }) })
    assert.is_nil(mproc.worker())
    assert.equal(1, pool:apply(function() return mproc.worker().index end))
  end)
end)
