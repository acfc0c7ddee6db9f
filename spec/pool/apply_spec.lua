-- SPDX-License-Identifier: MIT
-- apply, again and again: from its third call on a function is sent and its result awaited without a job. Whatever else
-- can come of it must be as it is for the first.

local leaks = require("spec.support.leaks")
local program = require("spec.support.program")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

describe("apply, called again and again,", function()
  local mproc, proc
  setup(function()
    mproc = require("mproc")
    proc = require("spec.support.proc")
  end)
  leaks.watch()

  local function identity(...)
    return ...
  end

  -- What a task is told decides what becomes of it, so that one function has all fates.
  local function obey(what, ...)
    if what == "raise" then
      error("told to", 0)
    elseif what == "raise where" then
      error("told to")
    elseif what == "die" then
      os.execute("kill -9 " .. require("mproc").getpid())
      require("mproc").sleep(60)
    elseif what == "unsendable" then
      return coroutine.create(print)
    elseif what == "sleep" then
      require("mproc").sleep(...)
    elseif what == "done" then
      return require("mproc").worker().tasks_done
    end
    return what, ...
  end

  local function warm(pool, f)
    for i = 1, 5 do
      assert.equal(i, (pool:apply(f, { i })))
    end
  end

  it("gives all results, whatever the arguments are", function()
    local pool <close> = mproc.Pool(2)
    warm(pool, identity)
    assert.same({ n = 0 }, table.pack(pool:apply(identity)))
    assert.same({ n = 0 }, table.pack(pool:apply(identity, {})))
    assert.same({ n = 3, 1, nil, 3 }, table.pack(pool:apply(identity, { n = 3, 1, nil, 3 })))
    assert.same({ n = 2, "a", { b = 1 } }, table.pack(pool:apply(identity, { "a" }, { b = 1 })))
    assert.same({ n = 2, "a", { 1, 2 } }, table.pack(pool:apply(identity, { "a", { 1, 2 } })))
    local many = {}
    for i = 1, 300 do
      many[i] = i
    end
    assert.equal(300, select("#", pool:apply(identity, many)))
    local strange = setmetatable({}, { __index = { 7 }, __len = function() return 1 end })
    assert.same({ 7 }, { pool:apply(identity, strange) })
  end)

  it("sends a function anew when what it closes over has changed", function()
    local pool <close> = mproc.Pool(2)
    local factor, list = 2, { 1 }
    local function scale(x) return math.floor(x * factor) end
    local function first() return list[1] end
    for i = 1, 20 do
      factor, list[1] = i, -i
      assert.equal(i * i, pool:apply(scale, { i }))
      assert.equal(i, pool:apply(scale, { 1 }))
      assert.equal(-i, pool:apply(first))
    end
  end)

  it("raises what the task raised, with where it was", function()
    local pool <close> = mproc.Pool(1)
    warm(pool, obey)
    local _, first = pcall(pool.apply, pool, obey, { "raise" })
    assert.matches("^told to\nremote traceback of worker 1", first)
    local _, where = pcall(pool.apply, pool, obey, { "raise where" })
    assert.matches("^spec/pool/apply_spec.lua:%d+: told to", where)
    assert.matches("%(pid %d+%):\n\t%[C%]: in function 'error'\n\tspec/pool/apply_spec.lua:%d+: in [^\n]+$", where)
    assert.equal(6, (pool:apply(obey, { 6 })))
  end)

  it("blames the caller's line for what cannot be sent, and says what it was", function()
    local pool <close> = mproc.Pool(1)
    warm(pool, identity)
    local ok, err = pcall(function() pool:apply(identity, { 1, coroutine.create(print) }) end)
    assert.is_false(ok)
    assert.matches("^spec/pool/apply_spec.lua:%d+: cannot send args%[2%]", err)
    ok, err = pcall(function() pool:apply(identity, "x") end)
    assert.is_false(ok)
    assert.matches("^spec/pool/apply_spec.lua:%d+: args must be a list", err)
    ok, err = pcall(function() pool:apply(identity, { a = 1 }) end)
    assert.is_false(ok)
    assert.matches("kwargs", err)
    assert.equal(2, pool:apply(identity, { 2 }))
  end)

  it("fails alone when its worker is killed, and names its task by its number", function()
    local pool <close> = mproc.Pool(1)
    warm(pool, obey)
    local began = mproc.time()
    local ok, err = pcall(pool.apply, pool, obey, { "die" })
    assert.is_false(ok)
    assert.same({ "worker_died", 9 }, { err.kind, err.signal })
    assert.matches("task 6, apply", tostring(err))
    assert.is_true(mproc.time() - began < 1)
    warm(pool, obey)
  end)

  it("notices a worker that dies between two calls", function()
    local pool <close> = mproc.Pool(2)
    warm(pool, identity)
    local victim = pool:workers()[1]
    os.execute("kill -9 " .. victim)
    proc.until_true(function()
      assert.equal(1, pool:apply(identity, { 1 }))
      local pids = pool:workers()
      return #pids == 2 and pids[1] ~= victim and pids[2] ~= victim
    end, "another worker")
  end)

  it("raises for a result that cannot be sent", function()
    local pool <close> = mproc.Pool(1)
    warm(pool, obey)
    local ok, err = pcall(pool.apply, pool, obey, { "unsendable" })
    assert.is_false(ok)
    assert.matches("cannot send result: ", err)
    assert.equal(6, (pool:apply(obey, { 6 })))
  end)

  it("raises for more results than can travel, and goes on", function()
    local pool <close> = mproc.Pool(1)
    local function many(n)
      return table.unpack({}, 1, n)
    end
    for _ = 1, 4 do
      assert.equal(150000, select("#", pool:apply(many, { 150000 })))
      local ok, err = pcall(pool.apply, pool, many, { 400000 })
      assert.is_false(ok)
      assert.matches("returned 400000 results", err)
    end
  end)

  it("waits as long as the task takes", function()
    local pool <close> = mproc.Pool(1)
    warm(pool, obey)
    assert.same({ "sleep", 0.3 }, { pool:apply(obey, { "sleep", 0.3 }) })
  end)

  it("is not given what belongs to others", function()
    local pool <close> = mproc.Pool(2)
    warm(pool, obey)
    local late = pool:submit(obey, "sleep", 0.05)
    for i = 1, 1000 do
      assert.equal(i, (pool:apply(obey, { i })))
    end
    assert.equal("sleep", (late:get(20)))
    local given_up = pool:map_async(obey, { "sleep", "sleep" })
    given_up:cancel()
    warm(pool, obey)
  end)

  it("runs callbacks that are due", function()
    local pool <close> = mproc.Pool(1)
    warm(pool, identity)
    local seen
    pool:apply_async(identity, { "x" }, nil, { callback = function(v) seen = v end })
    proc.until_true(function()
      pool:apply(identity, { 1 })
      return seen
    end, "the callback")
    assert.equal("x", seen)
  end)

  it("counts each task, at both ends, and replaces workers when they have had enough", function()
    local pool <close> = mproc.Pool{ processes = 1, maxtasksperchild = 20 }
    local pids = {}
    for i = 1, 100 do
      assert.equal((i - 1) % 20, (pool:apply(obey, { "done" })))
      pids[pool:workers()[1]] = true
    end
    assert.equal(100, pool:stats().done)
    local count = 0
    for _ in pairs(pids) do
      count = count + 1
    end
    assert.is_true(count >= 5, count .. " workers")
  end)

  it("counts the time that calls took", function()
    local pool <close> = mproc.Pool(1)
    local function count(n)
      local sum = 0
      for i = 1, n do
        sum = sum + i
      end
      return sum
    end
    for i = 1, 5 do
      pool:apply(count, { i })
    end
    local _, before = pool:insights()
    local began = mproc.time()
    for _ = 1, 500 do
      pool:apply(count, { 30000 })
    end
    local took = mproc.time() - began
    local _, after = pool:insights()
    local busy = after.busy - before.busy
    assert.is_true(busy > took / 2 and busy < took * 1.1, ("%f s of %f s"):format(busy, took))
  end)

  it("works in a pool of a coroutine, whose tasks cannot yield out of it", function()
    local ok, first, second = coroutine.resume(coroutine.create(function()
      local pool <close> = mproc.Pool(1)
      warm(pool, identity)
      local caught, err = pcall(pool.apply, pool, coroutine.yield, { 1 })
      return caught, err
    end))
    assert.is_true(ok, first)
    assert.is_false(first)
    assert.matches("yield", second)
  end)

  fork_it("refuses the pool's other process, and a pool that is closed", function()
    -- a pool is inherited
    local pool = mproc.Pool(1)
    warm(pool, identity)
    local p = mproc.Process(function()
      return select(2, pcall(function() pool:apply(identity, { 1 }) end))
    end):start()
    p:join()
    assert.matches("belongs to the process that made it", p:result())
    p:close()
    pool:join()
    local ok, err = pcall(function() pool:apply(identity, { 1 }) end)
    assert.is_false(ok)
    assert.matches("^spec/pool/apply_spec.lua:%d+: the pool is closed", err)
  end)

  it("ends by Ctrl-C with one message and status 130, and leaves no worker", function()
    for _ = 1, 5 do
      local result = program.text([[
        local mproc = require("mproc")
        local parent = mproc.getpid()
        local pool <close> = mproc.Pool(1)
        io.stdout:setvbuf("no")
        local pid = pool:workers()[1]
        print(pid)
        mproc.Process{ daemon = true, target = function()
          mproc.sleep(0.2)
          os.execute("kill -INT " .. pid .. " " .. parent) -- as the terminal does
          mproc.sleep(100)
        end }:start()
        while true do
          pool:apply(math.abs, { 1 })
        end
      ]], { seconds = 20 })
      assert.is_false(result.timed_out)
      assert.equal(130, result.code, result.err)
      local _, count = result.err:gsub("interrupted!", "")
      assert.equal(1, count, result.err)
      assert.is_nil(proc.state(tonumber(result.out:match("%d+"))))
    end
  end)

  it("counts nothing as out that is not, once Ctrl-C has been caught", function()
    for i = 1, 8 do
      for _, upvalue in ipairs({ "", "local unwatched = {}" }) do -- with it, a call of f is a job
        local result = program.text(upvalue .. [[
          local mproc = require("mproc")
          local pool = mproc.Pool(1)
          local parent = mproc.getpid()
          local function f(x) return x, unwatched end
          mproc.Process{ daemon = true, target = function()
            mproc.sleep(0.02 + 0.003 * ]] .. i .. [[)
            os.execute("kill -INT " .. parent)
            mproc.sleep(100)
          end }:start()
          while pcall(function()
            for k = 1, 100 do
              assert(pool:apply(f, { k }) == k)
            end
          end) do end
          local ends = mproc.time() + 10
          repeat pool:step(0.01) until pool:stats().pending == 0 or mproc.time() > ends
          print(pool:stats().pending, (pool:apply(f, { "works" })), (pool:join(10)))
        ]], { seconds = 30 })
        assert.equal("0\tworks\ttrue\n", result.out, result.err)
      end
    end
  end)
end)
