-- SPDX-License-Identifier: MIT
-- What a pool's owner can do to tasks that run: limits for one call, ending one task, a gentle end, memory, modules.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

local LIMIT = 0.3

local function sleep(seconds)
  require("mproc").sleep(seconds)
  return seconds
end

local function gone(pid)
  proc.until_true(function() return proc.state(pid) == nil end, "the end of a program")
  return true
end

describe("a pool's timeout for one call", function()
  leaks.watch()

  it("ends a task of apply_async that takes longer, and no other", function()
    local pool <close> = mproc.Pool(2)
    local began = mproc.time()
    local slow = pool:apply_async(sleep, { 60 }, nil, { timeout = LIMIT })
    local other = pool:submit(sleep, 3 * LIMIT)
    local err = slow:exception(20)
    assert.equal("task_timeout", err.kind)
    assert.equal(LIMIT, err.timeout)
    assert.matches("task 1, apply_async%(.*%) ran longer than its timeout of 0%.3 s; its worker %(pid %d+%) was killed",
      tostring(err))
    assert.equal(3 * LIMIT, other:get(20))
    assert.is_true(mproc.time() - began < 20)
    assert.equal(7, pool:apply(math.max, { 7, 1 }))
  end)

  it("counts from a task's beginning, not while it waits", function()
    local pool <close> = mproc.Pool(1)
    local first = pool:submit(sleep, 3 * LIMIT)
    local second = pool:apply_async(sleep, { 0 }, nil, { timeout = LIMIT })
    assert.equal(0, second:get(20))
    assert.equal(3 * LIMIT, first:get(20))
  end)

  it("is for each item of a list", function()
    local pool <close> = mproc.Pool(2)
    local times = { 0.01, 0.02, 60, 0.03, 0.01, 0.02 }
    for _, chunksize in ipairs({ 1, 3, 6 }) do
      local ok, err = pcall(pool.map, pool, sleep, times, { timeout = LIMIT, chunksize = chunksize })
      assert.is_false(ok)
      assert.equal("task_timeout", err.kind)
      assert.matches("^item 3 of map%(", tostring(err))
    end
    local seen = {}
    local next_item = pool:imap(sleep, times, { timeout = LIMIT })
    for i = 1, 7 do
      local ok, index = pcall(next_item)
      seen[i] = ok and (index or "end") or index.kind
    end
    assert.same({ 1, 2, "task_timeout", 4, 5, 6, "end" }, seen)
  end)

  it("goes before the pool's, whichever is longer", function()
    local pool <close> = mproc.Pool{ processes = 1, task_timeout = LIMIT }
    local long = pool:apply_async(sleep, { 2 * LIMIT }, nil, { timeout = 60 })
    assert.equal(2 * LIMIT, long:get(20))
    local short = pool:submit(sleep, 60):exception(20)
    assert.matches("its task_timeout of 0%.3 s", tostring(short))
  end)

  fork_it("covers what decoding the task takes", function()
    -- a metatable that this file alone has registered
    local Slow, owner = {}, mproc.getpid()
    mproc.register("spec.controls_slow", Slow, { decode = function()
      sleep(mproc.getpid() == owner and 0 or 60)
      return setmetatable({}, Slow)
    end })
    Slow.__mproc_encode = function() return {} end
    local pool <close> = mproc.Pool(1)
    local err = pool:apply_async(type, { setmetatable({}, Slow) }, nil, { timeout = LIMIT }):exception(20)
    assert.equal("task_timeout", err.kind)
  end)

  it("is checked", function()
    local pool <close> = mproc.Pool(1)
    assert.error_matches(function() pool:apply_async(type, { 1 }, nil, { timeout = 0 }) end,
      "timeout must be a number of seconds above 0, got 0")
    assert.error_matches(function() pool:map(type, { 1 }, { timeout = "1" }) end,
      "timeout must be a number of seconds above 0, got \"1\"")
    assert.error_matches(function() pool:apply_async(type, { 1 }, nil, { timout = 1 }) end,
      "unknown option \"timout\"; did you mean 'timeout'%?")
  end)
end)

describe("future:terminate()", function()
  leaks.watch()

  it("ends a task that runs, with the programs that it started, and no other", function()
    local pool <close> = mproc.Pool(2)
    local pids = mproc.Queue()
    local future = pool:submit(function()
      local shell = io.popen("echo $$; exec sleep 100")
      pids:put(shell:read("n"))
      require("mproc").sleep(100)
    end)
    local other = pool:submit(sleep, 3 * LIMIT)
    local pid = pids:get(20)
    assert.is_true(future:terminate())
    assert.is_true(future:done())
    assert.is_true(gone(pid))
    local err = future:exception(0)
    assert.equal("terminated", err.kind)
    assert.matches("task 1, submit%(", tostring(err))
    assert.is_false(future:terminate())
    assert.equal(3 * LIMIT, other:get(20))
    assert.same({ 2, 3 }, pool:map(function(x) return x + 1 end, { 1, 2 }))
    assert.equal(2, #pool:workers())
  end)

  it("calls off a task that waits, and kills nobody", function()
    local pool <close> = mproc.Pool(1)
    local before = pool:workers()[1]
    local first = pool:submit(sleep, LIMIT)
    local second = pool:submit(sleep, 60)
    assert.is_true(second:terminate())
    assert.is_true(second:cancelled())
    assert.equal(LIMIT, first:get(20))
    assert.equal(before, pool:workers()[1])
  end)

  it("ends a map_async wherever it runs", function()
    local pool <close> = mproc.Pool(2)
    local future = pool:map_async(sleep, { 60, 60, 60, 60, 60, 60 })
    proc.until_true(function() return future:running() end, "the first item")
    assert.is_true(future:terminate())
    assert.equal("terminated", future:exception(0).kind)
    assert.equal(1, pool:apply(math.abs, { -1 }))
  end)
end)

describe("pool:terminate{ grace = s }", function()
  leaks.watch()

  it("lets current tasks end in order: their <close> variables and at_exit run", function()
    local pool = mproc.Pool(1)
    local told = mproc.Queue()
    local future = pool:submit(function()
      local m = require("mproc")
      m.at_exit(function() told:put("at_exit") end)
      local _ <close> = setmetatable({}, { __close = function() told:put("closed") end })
      told:put("begun")
      m.sleep(100)
    end)
    assert.equal("begun", told:get(20))
    pool:terminate{ grace = 20 }
    assert.equal("closed", told:get(5))
    assert.equal("at_exit", told:get(5))
    assert.equal("terminated", future:exception(0).kind)
  end)

  it("kills who does not end in time", function()
    local pool = mproc.Pool(1)
    local begun = mproc.Event()
    pool:submit(function()
      local _ <close> = setmetatable({}, { __close = function() require("mproc").sleep(100) end })
      begun:set()
      require("mproc").sleep(100)
    end)
    assert.is_true(begun:wait(20))
    local began = mproc.time()
    pool:terminate{ grace = LIMIT }
    assert.is_true(mproc.time() - began < 10)
  end)

  it("is checked", function()
    local pool <close> = mproc.Pool(1)
    assert.error_matches(function() pool:terminate(5) end, "terminate takes a table such as { grace = 2 }, got 5")
    assert.error_matches(function() pool:terminate{ grace = -1 } end, "grace must be a number of seconds above 0")
    assert.error_matches(function() pool:terminate{ grase = 1 } end, "did you mean 'grace'")
  end)
end)

describe("a pool takes the programs of its tasks along", function()
  leaks.watch()

  local function start_program(pids)
    return function()
      pids:put((io.popen("echo $$; exec sleep 100"):read("n")))
      require("mproc").sleep(100)
    end
  end

  it("when it is terminated", function()
    local pool = mproc.Pool(1)
    local pids = mproc.Queue()
    pool:submit(start_program(pids))
    local pid = pids:get(20)
    pool:terminate()
    assert.is_true(gone(pid))
  end)

  it("when a task takes too long", function()
    local pool <close> = mproc.Pool{ processes = 1, task_timeout = LIMIT }
    local pids = mproc.Queue()
    assert.equal("task_timeout", pool:submit(start_program(pids)):exception(20).kind)
    assert.is_true(gone(pids:get(20)))
  end)
end)

describe("maxmemoryperchild", function()
  leaks.watch()

  it("replaces a worker after the task that took more", function()
    local pool <close> = mproc.Pool{ processes = 1, maxmemoryperchild = 64 << 20 }
    local function keep(bytes)
      local worker = require("mproc").worker()
      worker.store.kept = ("x"):rep(bytes)
      return worker.pid
    end
    local first = pool:apply(keep, { 10 })
    assert.equal(first, pool:apply(keep, { 10 }))
    assert.equal(first, pool:apply(keep, { 100 << 20 }))
    assert.are_not.equal(first, pool:apply(keep, { 10 }))
    assert.error_matches(function() mproc.Pool{ maxmemoryperchild = 0 } end,
      "maxmemoryperchild must be a number of bytes")
  end)
end)

describe("the iterator of an imap", function()
  leaks.watch()

  it("has next(timeout)", function()
    local pool <close> = mproc.Pool(1)
    local go = mproc.Event()
    local iterator <close> = pool:imap(function(x) return x == 2 and go:wait() or x end, { 1, 2, 3 }, 1)
    assert.same({ 1, 1 }, { iterator:next(20) })
    local began = mproc.time()
    assert.same({ n = 2, nil, "timeout" }, table.pack(iterator:next(0.05)))
    assert.same({ n = 2, nil, "timeout" }, table.pack(iterator:next(0)))
    assert.is_true(mproc.time() - began < 5)
    go:set()
    assert.same({ 2, true }, { iterator() })
    assert.same({ 3, 3 }, { iterator:next() })
    assert.same({ n = 1, nil }, table.pack(iterator:next(1)))
    assert.error_matches(function() iterator.next(5) end, "this is not the iterator of an imap, but 5")
    assert.error_matches(function() iterator:next(true) end, "timeout must be a number of seconds or nil")
  end)

  it("says what it is", function()
    local pool <close> = mproc.Pool(1)
    local iterator <close> = pool:imap_unordered(math.abs, { 1 })
    assert.matches("mproc.Stream: 0 items fetched of imap_unordered", tostring(iterator))
  end)
end)

describe("workers", function()
  leaks.watch()

  it("find a module that was put on the path since they were started", function()
    local result = program.text([[
      local mproc = require("mproc")
      local pool = mproc.Pool(1)
      pool:apply(math.abs, { 1 })
      local directory = os.tmpname()
      os.remove(directory)
      assert(os.execute("mkdir " .. directory))
      local file = io.open(directory .. "/found_late.lua", "w")
      file:write("return { answer = function() return 42 end }")
      file:close()
      package.path = directory .. "/?.lua;" .. package.path
      local late = require("found_late")
      print(pool:map(late.answer, { 1 })[1], pool:map(function() return require("found_late").answer() end, { 1 })[1])
      print(pool:join(10))
      os.execute("rm -r " .. directory)
    ]], { seconds = 20 })
    assert.same({ "42\t42\ntrue\n", "" }, { result.out, result.err })
  end)

  fork_it("have none of the owner's descriptors with close_fds", function()
    -- descriptors are inherited
    local file <close> = assert(io.open("/proc/self/status"))
    local pool <close> = mproc.Pool{ processes = 1, close_fds = true }
    local function holds_status()
      local list = io.popen("ls -l /proc/" .. require("mproc").getpid() .. "/fd")
      return list:read("a"):find("status", 1, true) ~= nil
    end
    assert.is_false(pool:apply(holds_status))
    local other <close> = mproc.Pool(1)
    assert.is_true(other:apply(holds_status))
    assert.equal("file", io.type(file))
  end)
end)
