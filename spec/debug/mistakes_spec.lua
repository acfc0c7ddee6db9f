-- SPDX-License-Identifier: MIT
-- The mistakes that beginners make, each with the answer that it gets: it works as meant, or the error blames the line,
-- names the argument or the state and the remedy, or debug mode tells. One test for each row of the table that the
-- design keeps of them, in its order.

local blame = require("spec.support.blame")
local items = require("spec.support.items")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")

describe("the beginner's mistake:", function()
  leaks.watch()

  local function result_of(options)
    local p <close> = mproc.Process(options):start()
    return p:result(20)
  end

  -- What the program, after `local mproc = require("mproc")`, writes on stdout and stderr.
  local function run(source, level)
    local r = program.text('local mproc = require("mproc") ' .. source, {
      seconds = 20, env = "MPROC_DEBUG=" .. (level or "off"),
    })
    assert.is_false(r.timed_out, "it hangs: " .. r.out .. r.err)
    return r
  end

  local function says(text, ...)
    for _, wanted in ipairs({ ... }) do
      assert.truthy(text:find(wanted, 1, true), ("does not say %q: %s"):format(wanted, text))
    end
  end

  local function add(a, b)
    return a + b
  end

  it("args = 5 is one argument", function()
    assert.same({ 5 }, { result_of{ target = function(...) return ... end, args = 5 } })
    assert.same({ true }, { result_of{ target = function(...) return ... end, args = true } })
    blame.caller(function() mproc.Process{ target = add, args = { a = 1 } } end, "args", "kwargs", "{ t }")
  end)

  it('args = "hello" is one argument, not five', function()
    assert.same({ "hello" }, { result_of{ target = function(...) return ... end, args = "hello" } })
  end)

  it("target = f(1) is told apart from no target", function()
    local function f() end
    for _, make in ipairs({
      function(x) mproc.Process{ target = f(x) } end,
      function(x) mproc.Process{ target = f(x), args = { 1 } } end,
      function(x) mproc.Process(f(x)) end,
    }) do
      blame.caller(make, "target is nil", "target=f(...) instead of target=f")
    end
    blame.caller(function() mproc.Process{ target = add(1, 2) } end, "target", "got 3", "instead of target=f")
  end)

  it('target = "f" is found in the constructor', function()
    blame.caller(function() mproc.Process{ target = "work" } end, "target must be a function", '"work"',
      "target = work, without quotes")
  end)

  it("Process(f, ...) takes the arguments as they come", function()
    local p <close> = mproc.Process(add, 1, 2):start()
    assert.equal(3, p:result(20))
    local q <close> = mproc.Process(function(t) return #t end, { 1, 2 }):start()
    assert.equal(2, q:result(20))
  end)

  describe("a call in the wrong state", function()
    it("start twice: the error has the name, the pid and the remedy", function()
      local p <close> = mproc.Process{ name = "X", target = add, args = { 1, 2 } }:start()
      blame.caller(function() p:start() end, ("process 'X' (pid %d) has already been started"):format(p.pid),
        "make a new one")
      p:join(20)
      blame.caller(function() p:start() end, "process 'X'", "make a new one")
    end)

    it("join, result or terminate before start: call start() first", function()
      local p = mproc.Process{ name = "X", target = add }
      for _, method in ipairs({ "join", "result", "terminate", "kill", "interrupt" }) do
        blame.caller(function() p[method](p) end, "process 'X'", "before it is started", "call start() first")
      end
    end)

    it("daemon after start: set it before", function()
      local p <close> = mproc.Process{ name = "X", target = add, args = { 1, 2 } }:start()
      blame.caller(function() p.daemon = true end, "process 'X'", "set daemon before start()")
    end)
  end)

  it("p:run() for p:start() runs here, and debug mode tells", function()
    local source = 'n = 0 mproc.Process{ name = "w", target = function() n = n + 1 end }:run() print(n)'
    assert.same({ "1\n", "" }, { run(source).out, run(source).err })
    says(run(source, "1").err, "p:run() at ", "runs the target of 'w' in this process", "write p:start()")
    assert.is_nil(run("mproc.Process(print):start():join()", "1").err:find("p:run()", 1, true))
  end)

  it("a subclass needs no call of the constructor above it", function()
    local Pro = mproc.Process:extend()
    function Pro:init(n) self.n = n end
    function Pro:run() return self.n * 2 end
    local p <close> = Pro(21):start()
    assert.equal(42, p:result(20))
  end)

  it("globals that a child changed: debug mode lists them with the remedy", function()
    local source = "n = 0 mproc.Process(function() n = n + 1 end):start():join() print(n)"
    assert.same({ "0\n", "" }, { run(source).out, run(source).err })
    says(run(source, "1").err, "changed n in child; parent's n is untouched; use mproc.Value or return it")
  end)

  it("a return value is there to be asked for", function()
    local p <close> = mproc.Process(function() return 1, nil, 3 end):start()
    assert.same({ n = 3, 1, nil, 3 }, table.pack(p:result(20)))
  end)

  it("a child's error is on stderr, in the exit code, and in the result", function()
    local r = run([[
      local p = mproc.Process{ name = "w", target = function() error("boom") end }:start()
      p:join()
      print(p.exitcode, (select(2, pcall(p.result, p)):gsub("\n.*", "")))
    ]])
    says(r.err, "process 'w' (pid ", ":1: boom\nstack traceback:\n")
    assert.truthy(r.out:find("^1\t.*:1: boom\n$"), r.out)
  end)

  it("apply_async without get: the errors that nobody read are told at the end", function()
    local r = run([[
      local pool = mproc.Pool(2)
      for i = 1, 3 do pool:apply_async(function() error("lost " .. i) end) end
      local seen = pool:submit(error, "seen")
      pcall(seen.get, seen)
      pool:join()
    ]])
    for i = 1, 3 do
      says(r.err, ("lost %d"):format(i))
    end
    says(r.err, "failed and nobody asked")
    assert.is_nil(r.err:find("seen", 1, true))
  end)

  it("apply in a loop: debug mode tells that one worker is busy, once, with the line", function()
    local source = [[
      local pool <close> = mproc.Pool(4)
      local function twice(x) return 2 * x end
      for i = 1, 8 do pool:apply(twice, { i }) end
      for i = 1, 8 do pool:apply(twice, { i }) end]]
    local r = run(source, "1")
    assert.equal(1, select(2, r.err:gsub("apply at", "")), r.err)
    assert.truthy(r.err:find("apply at [^:\n]+:3 waits for each task .* one of 4 workers busy; use map"), r.err)
    assert.equal("", run(source).err)
    local fine = run("local pool <close> = mproc.Pool(4) pool:apply(math.abs, { 1 }) pool:map(math.abs, { 1, 2 })", "1")
    assert.is_nil(fine.err:find("apply at", 1, true))
  end)

  it("map with a function of two arguments: map takes several lists, and the error names starmap", function()
    local pool <close> = mproc.Pool(2)
    assert.same({ 11, 22 }, pool:map(add, { 1, 2 }, { 10, 20 }))
    assert.same({ 11, 22 }, pool:map(add, { 1, 2 }, { 10, 20, 30 }, 1))
    assert.same({ 3 }, pool:map(math.max, { 1 }, { 2 }, { 3 }, { chunksize = 5 }))
    assert.same({ 11, 22 }, pool:map_async(add, { 1, 2 }, { 10, 20 }):get(20))
    for i, sum in pool:imap(add, { 1, 2 }, { 10, 20 }) do
      assert.equal(i * 11, sum)
    end
    assert.same({ 3, 7 }, pool:starmap(add, { { 1, 2 }, { 3, 4 } }))
    local ok, err = pcall(pool.map, pool, add, { 1, 2 })
    assert.is_false(ok)
    says(err, "arithmetic on a nil value", "map gives one argument", "has 2", "starmap")
    local own = select(2, pcall(pool.map, pool, function(_, _) error("its own") end, { 1 }))
    assert.is_nil(own:find("starmap", 1, true))
    blame.caller(function() pool:map(add, { 1 }, { 2 }, 1, 2) end, "chunksize", "got 2")
  end)

  it("apply_async(f, 5) is found at the call", function()
    local pool <close> = mproc.Pool(1)
    blame.caller(function() pool:apply_async(print, 5) end, "args", "got 5", "pool:apply_async(f, { 5 })")
    blame.caller(function() pool:apply(print, "a") end, "args", '"a"', 'pool:apply(f, { "a" })')
    blame.caller(function() pool:apply_async(add(1, 2), { 1 }) end, "got 3", "f(...) instead of f")
    blame.caller(function() pool:apply_async(nil, { 1 }) end, "nil", "f(...) instead of f")
    blame.caller(function() pool:apply_async("print", { 1 }) end, '"print"', "without quotes")
  end)

  it("join before close closes; submit after close names close()", function()
    local pool = mproc.Pool(1)
    local future = pool:submit(add, 1, 2)
    assert.is_true(pool:join(20))
    assert.equal(3, future:get(0))
    for _, submit in ipairs({
      function() pool:submit(add, 1, 2) end, function() pool:apply(add, { 1, 2 }) end,
      function() pool:map(math.abs, { 1 }) end, function() pool:imap(math.abs, { 1 }) end,
    }) do
      blame.caller(submit, "the pool is closed", "close()", "make a new one")
    end
  end)

  it("get after the block has the result, and fails at once after terminate", function()
    local future
    do
      local pool <close> = mproc.Pool(1)
      future = pool:submit(add, 1, 2)
    end
    assert.equal(3, future:get(0))
    local pool = mproc.Pool(1)
    local slow = pool:submit(mproc.sleep, 60)
    pool:terminate()
    local began = mproc.time()
    local ok, err = pcall(slow.get, slow)
    assert.is_false(ok)
    says(tostring(err), "the pool was terminated before this task had ended")
    assert.truthy(mproc.time() - began < 5)
    blame.caller(function() pool:submit(add, 1, 2) end, "terminated", "terminate()", "make a new one")
  end)

  it("a pool made before its function works", function()
    local pool <close> = mproc.Pool(1)
    local function later(x) return x + 1 end
    assert.same({ 2, 3 }, pool:map(later, { 1, 2 }))
  end)

  it("a lambda and a closure travel", function()
    local pool <close> = mproc.Pool(1)
    local factor = 3
    assert.same({ 3, 6 }, pool:map(function(x) return x * factor end, { 1, 2 }))
  end)

  it("a lock and a queue are arguments like others; a pool names the remedy", function()
    local pool <close> = mproc.Pool(2)
    local lock, q = mproc.Lock(), mproc.Queue()
    assert.is_true(pool:apply(function(l, out)
      return l:with(function() return out:put("from a worker") end)
    end, { lock, q }))
    assert.equal("from a worker", q:get(20))
    blame.caller(function() pool:submit(print, pool) end, "a pool belongs to the process that made it",
      "make another one there", "through a queue")
  end)

  it("no main guard is needed: the main script runs once", function()
    local r = run([[
      print("main")
      io.stdout:flush()
      local p = mproc.Process(function() print("child") end):start()
      p:join()
    ]])
    assert.equal("main\nchild\n", r.out, r.err)
  end)

  it("a child of a daemon is allowed", function()
    local p <close> = mproc.Process{ daemon = true, target = function()
      local child <close> = mproc.Process{ daemon = true, target = add, args = { 1, 2 } }:start()
      return child:result(20)
    end }:start()
    assert.equal(3, p:result(20))
  end)

  it("the program ends early and a daemon's output is lost: debug mode tells which", function()
    local source = [[
      local d = mproc.Process{ name = "writer", daemon = true, target = function() mproc.sleep(60) print("lost") end }
      d:start()
    ]]
    local r = run(source, "1")
    assert.equal("", r.out)
    says(r.err, "ends daemon 'writer' (pid ", "which still runs", "join() it before")
    assert.equal("", run(source).err)
  end)

  describe("a pool that does not pay", function()
    local numbers = items.numbers

    it("by tiny tasks: insights names the share of handing over, and chunksize", function()
      local pool <close> = mproc.Pool(2)
      for i = 1, 200 do
        pool:apply(math.abs, { i })
      end
      local text, m = pool:insights()
      assert.truthy(text:find("%d+%% of time was hand%-over; use chunksize"), text)
      says(text, "200 tasks in 200 messages", "without a pool it would have been quicker", "an estimate")
      assert.truthy(m.handing_over > m.working + m.waiting)
      assert.truthy(math.abs(m.working + m.handing_over + m.waiting - m.capacity) < 1e-6)
    end)

    it("by tasks that come one by one: insights says how many workers worked", function()
      local pool <close> = mproc.Pool(3)
      for _ = 1, 3 do
        pool:apply(mproc.sleep, { 0.05 })
      end
      local text, m = pool:insights()
      assert.truthy(text:find("%d+%% of time workers waited for tasks: %d%.%d of 3 worked at a time; use map"), text)
      assert.truthy(m.waiting > m.capacity / 2)
    end)

    it("by more workers than CPUs: insights says so", function()
      local n = mproc.cpu_count() + 1
      local pool <close> = mproc.Pool(n)
      pool:map(mproc.sleep, { 0.01 })
      says(pool:insights(), ("%d workers share %d CPUs"):format(n, n - 1))
    end)

    it("and of one that does, insights says that its workers worked", function()
      local pool <close> = mproc.Pool(1)
      pool:map(mproc.sleep, { 0.3, 0.3 })
      local text, m = pool:insights()
      assert.truthy(m.working > 0.5 * m.capacity, text)
      assert.is_nil(text:find("hand-over", 1, true), text)
      assert.is_nil(text:find("waited for tasks", 1, true), text)
    end)

    it("before and between the calls, time counts for nothing", function()
      local pool <close> = mproc.Pool(1)
      assert.equal("no task has ended yet", (pool:insights()))
      pool:map(math.abs, numbers(10))
      local _, before = pool:insights()
      mproc.sleep(0.05)
      local _, after = pool:insights()
      assert.equal(before.busy, after.busy)
    end)

    it("because it is serial: insights says that nothing is handed over", function()
      local pool <close> = mproc.Pool{ processes = 0, serial = true }
      pool:map(math.abs, numbers(10))
      says(pool:insights(), "serial")
    end)
  end)

  it("prints interleave: mproc.print writes whole lines, with the name on request", function()
    local r = program.shell([[${LUA:-lua5.4} -e '
      local mproc = require("mproc")
      mproc.print_prefix(true)
      for n = 1, 3 do
        mproc.Process{ name = "w" .. n, target = function()
          for _ = 1, 100 do mproc.print(("x"):rep(5000)) end
        end }:start()
      end' | cat]], 30)
    local count = 0
    for line in r.out:gmatch("([^\n]*)\n") do
      count = count + 1
      assert.truthy(line:find("^%[w[123]%] x+$") and #line == 5005, line:sub(1, 80))
    end
    assert.equal(300, count)
  end)

  it("a file, a userdata or a coroutine as argument: the path, whose it is, and what to send instead", function()
    local file = io.stdout
    local thread = coroutine.create(print)
    blame.caller(function() mproc.Process(print, 1, { file = file }) end, "cannot send args[2].file",
      "a file belongs to one process", "send its name")
    blame.caller(function() mproc.Process{ target = print, args = { { log = file } } } end, "cannot send args[1].log",
      "send its name")
    blame.caller(function() mproc.Process(print, thread) end, "args[1]", "a coroutine belongs to one process",
      "send the function it runs")
    blame.caller(function() mproc.Queue():put({ thread }) end, "value[1]", "a coroutine belongs to one process")
    local _, dir = require("lfs").dir("/")
    blame.caller(function() mproc.Process(print, dir) end, "args[1]", "belongs to one process",
      "send what it is made from")
    dir:close()
    local pool <close> = mproc.Pool(1)
    blame.caller(function() pool:submit(print, { f = file }) end, "args[1].f", "send its name")
    blame.caller(function() pool:apply(print, { 1, thread }) end, "args[2]", "send the function it runs")
  end)
end)
