-- SPDX-License-Identifier: MIT
-- What a pool survives: workers that die, tasks that take too long or too much memory, callbacks and inputs that raise,
-- Ctrl-C, a parent that is killed.

local inputs = require("spec.support.items")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")

describe("a pool survives", function()
  leaks.watch()

  local numbers = inputs.numbers

  local function kill_me()
    os.execute("kill -9 " .. mproc.getpid())
    mproc.sleep(60)
  end

  local function fails(f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    return err
  end

  it("a worker that is killed: its task alone fails, and tells how", function()
    local pool <close> = mproc.Pool(2)
    local err = fails(pool.apply, pool, kill_me)
    assert.equal("worker_died", err.kind)
    assert.equal(9, err.signal)
    assert.equal(-9, err.exitcode)
    assert.matches("pid " .. err.pid, tostring(err))
    assert.matches("signal 9 %(SIGKILL%)", tostring(err))
    assert.matches("task 1, apply%(function <spec/pool/faults_spec%.lua:%d+>%)", tostring(err))
    assert.equal(2, #pool:workers())
    assert.equal(3, pool:apply(math.max, { 1, 3 }))
  end)

  it("os.exit in a task, with whatever code", function()
    local pool <close> = mproc.Pool(1)
    for _, code in ipairs({ 0, 3 }) do
      local err = fails(pool.apply, pool, os.exit, { code })
      assert.same({ "worker_died", code, nil }, { err.kind, err.exitcode, err.signal })
      assert.matches("exit code " .. code, tostring(err))
    end
    assert.same({ "worker_died", 1 }, (function()
      local err = fails(pool.apply, pool, os.exit, { false })
      return { err.kind, err.exitcode }
    end)())
  end)

  it("a deadly item of a map: the others run exactly once", function()
    local pool <close> = mproc.Pool(2)
    for _, chunksize in ipairs({ 1, 7, 100 }) do
      local ran = mproc.Queue()
      local err = fails(pool.map, pool, function(i)
        ran:put(i)
        if i == 50 then
          kill_me()
        end
        return i
      end, numbers(100), chunksize)
      assert.equal("worker_died", err.kind)
      assert.matches("item 50 of map", tostring(err))
      local count = {}
      for _ = 1, ran:qsize() do
        local i = ran:get(0)
        count[i] = (count[i] or 0) + 1
      end
      for i = 1, 100 do
        assert.equal(1, count[i], "item " .. i)
      end
    end
  end)

  it("many deadly items in a stream, each an error where it belongs", function()
    local pool <close> = mproc.Pool(3)
    local results, errors_seen = 0, 0
    local nextone <const> = pool:imap(function(i)
      if i % 10 == 0 then
        os.exit(i // 10)
      end
      return i
    end, numbers(60))
    while true do
      local ok, i, v = pcall(nextone)
      if not ok then
        errors_seen = errors_seen + 1
        assert.equal(errors_seen, i.exitcode)
      elseif i == nil then
        break
      else
        results = results + 1
        assert.equal(i, v)
      end
    end
    assert.same({ 54, 6 }, { results, errors_seen })
  end)

  it("the death of a worker that has nothing to do, without a failure", function()
    local pool <close> = mproc.Pool(2)
    pool:map(math.abs, numbers(10))
    local pids = pool:workers()
    os.execute("kill -9 " .. table.concat(pids, " "))
    assert.equal(10, #pool:map(math.abs, numbers(10)))
    assert.equal(2, #pool:workers())
  end)

  it("all its workers being killed again and again, and loses nothing", function()
    local pool <close> = mproc.Pool{ processes = 3, on_crash = "retry", retries = 1000 }
    local killer = mproc.Process(function()
      local me = mproc.getpid()
      for _ = 1, 12 do
        mproc.sleep(0.01)
        os.execute("for p in $(cat /proc/" .. mproc.getppid() .. "/task/" .. mproc.getppid()
          .. "/children); do [ $p = " .. me .. " ] || kill -9 $p 2>/dev/null; done")
      end
    end):start()
    local sum, expected = 0, 0
    for i = 1, 30 do
      local list = pool:map(function(x)
        for _ = 1, 1000 do end
        return x
      end, numbers(200))
      for k, v in ipairs(list) do
        assert.equal(k, v)
        sum, expected = sum + v, expected + k
      end
      assert.equal(200, #list, i)
    end
    assert.equal(expected, sum)
    killer:join()
    killer:close()
  end)

  it("crashes by trying again, and tells all deaths in the end", function()
    local pool <close> = mproc.Pool{ processes = 1, on_crash = "retry", retries = 2 }
    local tries = mproc.Queue()
    local err = fails(pool.apply, pool, function()
      tries:put(mproc.getpid())
      kill_me()
    end)
    assert.equal(3, tries:qsize())
    local text = tostring(err)
    assert.equal(2, #err.deaths)
    for i = 1, 2 do
      local pid = tries:get(0)
      assert.equal(pid, err.deaths[i].pid)
      assert.matches("pid " .. pid .. " by signal 9", text)
    end
    assert.equal(tries:get(0), err.pid)
    assert.same({ 1, 2, 3 }, pool:map(function(i)
      if i == 2 and tries:get(0) == nil and mproc.worker().tasks_done == 0 then
        return i
      elseif i == 2 then
        os.exit(1)
      end
      return i
    end, { 1, 2, 3 }, 3))
    assert.is_true(pool:stats().retried >= 3)
  end)

  it("a task that runs too long: it alone fails, and its worker is replaced", function()
    local pool <close> = mproc.Pool{ processes = 2, task_timeout = 0.3 }
    local began = mproc.time()
    local list, bad = {}, nil
    local nextone <const> = pool:imap(function(i)
      if i == 5 then
        mproc.sleep(60)
      end
      return i
    end, numbers(20))
    for i = 1, 20 do
      local ok, index = pcall(nextone)
      if ok then
        list[#list + 1] = index
      else
        assert.equal(5, i)
        bad = index
      end
    end
    assert.equal("task_timeout", bad.kind)
    assert.matches("item 5 of imap.*longer than its task_timeout of 0%.3 s", tostring(bad))
    assert.equal(19, #list)
    assert.is_true(mproc.time() - began < 10)
    assert.equal(4, pool:apply(math.max, { 4, 1 }))
  end)

  describe("while its owner waits for other results only, each of which comes at once,", function()
    local function ends(options, f, ...)
      local pool <close> = mproc.Pool(options)
      local future, seen = pool:submit(f, ...), nil
      future:add_done_callback(function() seen = true end)
      local began = mproc.time()
      repeat
        assert.equal(1, pool:apply(math.abs, { -1 }))
      until seen or mproc.time() - began > 20
      assert.is_true(seen)
      return future:exception()
    end

    it("the end of another task", function()
      assert.is_nil(ends({ processes = 2 }, mproc.sleep, 0.02))
    end)

    it("a worker's death", function()
      assert.equal(3, ends({ processes = 2 }, os.exit, 3).exitcode)
    end)

    it("a task that runs too long", function()
      assert.equal("task_timeout", ends({ processes = 2, task_timeout = 0.2 }, mproc.sleep, 60).kind)
    end)
  end)

  local it_may = os.getenv("INSTRUMENTED") and pending or it -- who needs address space without end aborts
  it_may("a memory limit that a task hits", function()
    local pool <close> = mproc.Pool{ processes = 1, rlimit = { as = 200 << 20 } }
    local err = fails(pool.apply, pool, function() return #("x"):rep(1 << 30) end)
    assert.matches("not enough memory", tostring(err))
    assert.equal(1000, pool:apply(function() return #("x"):rep(1000) end))
  end)

  it("limits of the system that kill", function()
    local pool <close> = mproc.Pool{ processes = 1, rlimit = { cpu = 1 } }
    local err = fails(pool.apply, pool, function() while true do end end)
    assert.equal("worker_died", err.kind)
    assert.is_true(err.signal == 24 or err.signal == 9)
  end)

  describe("an initializer", function()
    it("that fails: what is pending fails with its error, and nothing is started for ever", function()
      local function fail(x) error({ why = x }) end
      local pool <close> = mproc.Pool{ processes = 2, initializer = fail, initargs = { 7 } }
      assert.same({ why = 7 }, fails(pool.apply, pool, math.max, { 1 }))
      assert.same({ why = 7 }, fails(pool.map, pool, math.abs, { 1, 2 }))
      assert.same({ why = 7 }, (pool:submit(math.max, 1):exception()))
      assert.same({ why = 7 }, fails((pool:imap(math.abs, { 1 }))))
    end)

    it("that never comes up", function()
      local pool <close> = mproc.Pool{ processes = 1, initializer = os.exit, initargs = { 4 } }
      local err = fails(pool.apply, pool, math.max, { 1 })
      assert.same({ "worker_died", 4 }, { err.kind, err.exitcode })
      assert.matches("initializer", tostring(err))
    end)
  end)

  it("maxtasksperchild with any combination of sizes", function()
    for _, max in ipairs({ 1, 2, 3, 7 }) do
      for _, size in ipairs({ 1, 2, 4 }) do
        for _, count in ipairs({ 1, 2, 5, 20 }) do
          for _, chunksize in ipairs({ 1, 3, 50 }) do
            local pool <close> = mproc.Pool{ processes = size, maxtasksperchild = max }
            local pids = {}
            local list = pool:map(mproc.getpid, numbers(count), chunksize)
            assert.equal(count, #list)
            for _, pid in ipairs(list) do
              pids[pid] = (pids[pid] or 0) + 1
              assert.is_true(pids[pid] <= max)
            end
          end
        end
      end
    end
  end)

  describe("an input that raises", function()
    local function input(at)
      local i = 0
      return function()
        i = i + 1
        if i == at then
          error("input " .. at, 0)
        elseif i <= 20 then
          return i
        end
      end
    end

    it("at any place: map raises it, after the items before it have run", function()
      local pool <close> = mproc.Pool(2)
      for _, at in ipairs({ 1, 2, 19, 20, 21 }) do
        local ran = mproc.Queue()
        assert.equal("input " .. at, fails(pool.map, pool, function(x) ran:put(x) end, input(at)))
        assert.equal(at - 1, ran:qsize())
        assert.equal("input " .. at, fails(pool.map_async, pool, math.abs, input(at)))
      end
      assert.equal(20, #pool:map(math.abs, input(22)))
    end)

    it("or ends the pool: what is pending fails", function()
      for _, call in ipairs({
        function(pool, items) return pool:map(math.abs, items) end,
        function(pool, items) for _ in pool:imap(math.abs, items) do end end,
        function(pool, items) return pool:reduce(math.abs, items, math.max) end,
      }) do
        local pool = mproc.Pool(2)
        assert.equal("terminated", fails(call, pool, function(_, i)
          if i == 5 then
            pool:terminate()
          end
          return (i or 0) + 1
        end).kind)
      end
      local pool = mproc.Pool(2) -- reads all first
      assert.matches("the pool is terminated", fails(pool.map_async, pool, math.abs, function(_, i)
        pool:terminate()
        return (i or 0) < 3 and (i or 0) + 1 or nil
      end))
    end)

    it("at any place: imap raises it there, and then ends", function()
      local pool <close> = mproc.Pool(2)
      for _, at in ipairs({ 1, 2, 19, 20, 21 }) do
        for _, method in ipairs({ "imap", "imap_unordered" }) do
          local nextone <const> = pool[method](pool, math.abs, input(at))
          for _ = 1, at - 1 do
            assert.truthy((nextone()))
          end
          assert.equal("input " .. at, fails(nextone))
          assert.is_nil((nextone()))
        end
      end
    end)
  end)

  describe("a callback", function()
    it("that raises: it is told once, and later ones run", function()
      local result = program.text([[
        local mproc = require("mproc")
        local pool <close> = mproc.Pool(2)
        local ran = 0
        local function bad() error("bad callback") end
        local function good() ran = ran + 1 end
        local first = pool:apply_async(math.max, {1}, nil, {callback = bad})
        first:add_done_callback(good)
        local second = pool:apply_async(error, {"x"}, nil, {error_callback = bad})
        second:add_done_callback(good)
        first:get()
        second:wait()
        print(ran, pool:apply(math.max, {3, 4}))
      ]], { seconds = 20 })
      assert.equal("2\t4\n", result.out, result.err)
      local _, count = result.err:gsub("bad callback", "")
      assert.equal(2, count)
    end)

    it("that uses the pool itself", function()
      local pool <close> = mproc.Pool(2)
      local results = {}
      local future = pool:submit(math.max, 1)
      future:add_done_callback(function(f)
        results[1] = f:get()
        results[2] = pool:apply(math.max, { 2 })
        pool:submit(math.max, 3):add_done_callback(function(g) results[3] = g:get() end)
      end)
      future:get()
      pool:join()
      assert.same({ 1, 2, 3 }, results)
    end)
  end)

  describe("Ctrl-C", function()
    local PRELUDE = [[
      local mproc = require("mproc")
      local proc = require("spec.support.proc")
      local parent = mproc.getpid()
      local pool %s = mproc.Pool(2)
      io.stdout:setvbuf("no")
      local pids = table.concat(pool:workers(), " ")
      print(pids)
      mproc.Process{ daemon = true, target = function()
        mproc.sleep(0.1)
        proc.wait_asleep(parent)
        os.execute("kill -INT " .. pids .. " " .. parent) -- as the terminal does
        mproc.sleep(100)
      end }:start()
    ]]
    for name, call in pairs({
      ["in a map"] = "pool:map(mproc.sleep, {60, 60, 60, 60})",
      ["in an apply"] = "pool:apply(mproc.sleep, {60})",
      ["in a stream"] = "for i in pool:imap(mproc.sleep, {60, 60, 60}) do end",
      ["in a get"] = "pool:submit(mproc.sleep, 60):get()",
      ["in a join"] = "pool:submit(mproc.sleep, 60) pool:join()",
      ["in a callback"] = "local f = pool:submit(math.abs, 1) "
        .. "f:add_done_callback(function() mproc.sleep(60) end) f:get()",
      ["in a progress function"] = "pool:map_async(math.abs, {1, 2}, "
        .. "{ progress = function() mproc.sleep(60) end }):get() mproc.sleep(60)",
    }) do
      it(name .. " gives one message and status 130, and leaves no worker", function()
        for _, scope in ipairs({ "", "<close>" }) do
          local began = mproc.time()
          local result = program.text(PRELUDE:format(scope) .. call, { seconds = 20 })
          assert.is_false(result.timed_out)
          assert.is_true(mproc.time() - began < 8)
          assert.equal(130, result.code, result.err)
          local _, count = result.err:gsub("interrupted!", "")
          assert.equal(1, count, result.err)
          for pid in result.out:gmatch("%d+") do
            assert.is_nil(proc.state(pid))
          end
        end
      end)
    end

    it("that is caught leaves a pool that works", function()
      local result = program.text(PRELUDE:format("<close>") .. [[
        print(pcall(pool.map, pool, mproc.sleep, {0.5, 0.5}))
        print(pool:apply(math.max, {1, 2}))
      ]], { seconds = 20 })
      assert.matches("false\t.*interrupted!.*\n2\n$", result.out, result.err)
      assert.equal(0, result.code)
    end)
  end)

  it("not its parent: the workers are gone when that is killed", function()
    local q = mproc.Queue()
    local p <close> = mproc.Process(function()
      local pool = mproc.Pool(2)
      pool:submit(mproc.sleep, 60)
      q:put(pool:workers())
      mproc.sleep(60)
    end):start()
    local pids = q:get(20)
    p:kill()
    p:join()
    local began = mproc.time()
    for _, pid in ipairs(pids) do
      proc.until_true(function()
        local state = proc.state(pid)
        return state == nil or state == "Z"
      end, "the end of worker " .. pid)
    end
    assert.is_true(mproc.time() - began < 1)
  end)

  it("a system without room for new workers: what is pending fails with its word for it, in time", function()
    local result = program.shell([[exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \
      ${LUA:-lua5.4} -e '
      local mproc, core = require("mproc"), require("mproc.core")
      local pool <close> = mproc.Pool{ processes = 2, on_crash = "retry" }
      assert(core.limit("nproc", 1)) -- the workers that it has go on
      print(pool:apply(math.max, { 1, 2 }))
      local began = mproc.time()
      pool:submit(os.exit, 1)
      pool:submit(os.exit, 2)
      local ok, err = pcall(pool.map, pool, math.abs, { 1, 2, 3 })
      print(ok, err.kind, err.name, mproc.time() - began < 15)
      print(pool:submit(math.abs, 1):exception().kind, pool:join(10))
    ']], 30)
    assert.equal("2\nfalse\tno_workers\tEAGAIN\ttrue\nno_workers\ttrue\n", result.out, result.err)
  end)

  it("a full arena", function()
    local result = program.text([[
      local mproc = require("mproc")
      local pool <close> = mproc.Pool(2)
      local function big(i) return ("x"):rep(1 << 20) .. i end
      local n = 0
      for i, v in pool:imap(big, function(_, c) c = (c or 0) + 1 return c <= 100 and c or nil end) do
        assert(#v > 1 << 20)
        n = n + 1
      end
      local list = pool:map(function(s) return #s end, function(_, c)
        c = c or ""
        return #c < 40 and c .. "x" or nil
      end)
      print(n, #list)
      local ok, why = pcall(pool.apply, pool, string.rep, {"x", 1 << 26})
      print(ok, why)
      print(pool:apply(math.max, {1, 2}))
    ]], { seconds = 60, env = "MPROC_ARENA=16M" })
    assert.matches("^100\t40\nfalse\t.*arena is full.*\n2\n$", result.out, result.err)
  end)

  it("objects, futures and workers of others: errors of unread futures are told once, at close", function()
    local result = program.text([[
      local mproc = require("mproc")
      do
        local pool <close> = mproc.Pool(2)
        pool:submit(error, "nobody asks")
        local read = pool:submit(error, "somebody asks")
        pcall(read.get, read)
        pool:join()
        pool:join()
      end
    ]], { seconds = 20 })
    local _, count = result.err:gsub("nobody asks", "")
    assert.equal(1, count, result.err)
    assert.matches("task 1, submit", result.err)
    assert.is_nil(result.err:find("somebody asks", 1, true))
  end)
end)
