-- SPDX-License-Identifier: MIT
-- A leased message stays the queue's until done(): its holder may drop it or die, and it is not lost.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

describe("a lease", function()
  leaks.watch()

  local finish, kill, parked, reap = children.finish, children.kill, children.parked, children.reap

  it("gives a message that done() delivers", function()
    local q <close> = mproc.Queue()
    q:put("a")
    local value, lease = q:lease(0)
    assert.equal("a", value)
    assert.equal(0, q:qsize())
    lease:done()
    assert.same({ nil, "empty" }, { q:get(0) })
  end)

  it("waits, and gives nil and a word when there is nothing", function()
    local q <close> = mproc.Queue()
    assert.same({ nil, "empty" }, { q:lease(0) })
    local began = mproc.time()
    assert.same({ nil, "empty" }, { q:lease(0.05) })
    assert.is_true(mproc.time() - began >= 0.05)
    q:close()
    assert.same({ nil, "closed" }, { q:lease() })
  end)

  it("of a nil message is told from nothing by its lease", function()
    local q <close> = mproc.Queue()
    q:put(nil)
    local value, lease = q:lease(0)
    assert.is_nil(value)
    lease:done()
  end)

  it("gives the message back, in its place, when it is dropped, closed or leaves its scope undone", function()
    local q <close> = mproc.Queue()
    for i = 1, 3 do
      q:put(i)
    end
    do
      local value, lease <close> = q:lease(0) -- luacheck: ignore 211
      assert.equal(1, value)
    end
    local value, lease = q:lease(0)
    assert.equal(1, value)
    lease:close()
    lease:close()
    value, lease = q:lease(0)
    assert.equal(1, value)
    assert.is_userdata(lease)
    lease = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    for i = 1, 3 do
      assert.equal(i, q:get(0))
    end
  end)

  it("of long messages and of messages that carry a queue comes back whole", function()
    local q <close> = mproc.Queue()
    local inner = mproc.Queue()
    inner:put("inside")
    q:put({ ("x"):rep(100000), inner })
    inner = nil -- luacheck: ignore 311
    collectgarbage()
    for _ = 1, 3 do
      local value, lease <close> = q:lease(0) -- luacheck: ignore 211
      assert.equal(100000, #value[1])
      assert.equal(1, value[2]:qsize())
    end
    assert.equal("inside", q:get(0)[2]:get(0))
  end)

  it("ends once: done() twice raises, also after close()", function()
    local q <close> = mproc.Queue()
    q:put(1)
    local _, lease = q:lease(0)
    lease:done()
    local _, message = pcall(function() lease:done() end)
    assert.matches("^spec/queue/lease_spec%.lua:%d+: .*has ended", message)
    lease:close()
    q:put(2)
    _, lease = q:lease(0)
    lease:close()
    assert.error_matches(function() lease:done() end, "has ended")
    assert.equal(2, q:get(0))
  end)

  it("cannot travel and says so by its path", function()
    local q <close> = mproc.Queue()
    q:put(1)
    local _, lease = q:lease(0)
    assert.error_matches(function() q:put({ job = lease }) end, "value%.job")
    lease:done()
  end)

  it("comes back when its holder is killed, before what came later", function()
    local q <close> = mproc.Queue()
    for i = 1, 5 do
      q:put(i)
    end
    local p = parked(function()
      local a, first = q:lease()
      local b, second = q:lease()
      assert(a == 1 and b == 2)
      return first, second
    end)
    assert.equal(3, q:qsize())
    kill(p)
    for i = 1, 5 do
      assert.equal(i, q:get(5))
    end
  end)

  it("comes back to one who waits, without a call by anybody else", function()
    local q <close> = mproc.Queue()
    q:put("job")
    local p = parked(function()
      return q:lease()
    end)
    local waiter = mproc.Process(function()
      return q:get(20)
    end):start()
    p:kill()
    assert.equal("job", waiter:result(10))
    finish(waiter)
    reap(p)
  end)

  it("that is done is not given again when its holder dies afterwards", function()
    local q <close> = mproc.Queue()
    q:put("once")
    local p = parked(function()
      local _, lease = q:lease()
      lease:done()
    end)
    kill(p)
    assert.same({ nil, "empty" }, { q:get(0.2) })
  end)

  it("keeps a closed queue from ending while it is out", function()
    local q <close> = mproc.Queue()
    q:put("last")
    local _, lease = q:lease(0)
    q:close()
    assert.same({ nil, "empty" }, { q:get(0) })
    lease:close()
    local value
    value, lease = q:lease(0)
    assert.equal("last", value)
    lease:done()
    assert.same({ nil, "closed" }, { q:get(0) })
  end)

  it("lets who waits at a closed queue go when it is done, and when its holder dies", function()
    for _, how in ipairs({ "done", "killed" }) do
      local q, go = mproc.Queue(), mproc.Queue()
      q:put("last")
      local ready = mproc.Queue()
      local holder = mproc.Process(function()
        local _, lease = q:lease()
        ready:put(true)
        go:get()
        lease:done()
      end):start()
      ready:get(20)
      q:close()
      local waiter = mproc.Process(function()
        return q:get(20)
      end):start()
      assert.same({ false, "timeout" }, { waiter:join(0.15) })
      if how == "done" then
        go:put(true)
        assert.same({ nil, "closed" }, { waiter:result(10) })
      else
        holder:kill()
        assert.equal("last", (waiter:result(10)))
      end
      finish(waiter)
      reap(holder)
    end
  end)

  fork_it("stays the holder's when it forks: the child can neither end it nor give it back", function()
    -- a lease is inherited
    local q <close> = mproc.Queue()
    q:put("mine")
    local _, lease = q:lease(0)
    local p = mproc.Process(function()
      local ok, why = pcall(lease.done, lease)
      lease:close()
      return ok, why
    end):start()
    local ok, why = p:result(20)
    assert.is_false(ok)
    assert.matches("belongs to the process", why)
    finish(p)
    assert.equal(0, q:qsize())
    lease:done()
  end)

  it("whose decode hook raises consumes the message", function()
    local q <close> = mproc.Queue()
    local mt = { __mproc_encode = function() return 1 end }
    mproc.register("spec.lease_hook", mt, { decode = function() error("hook") end })
    q:put(setmetatable({}, mt))
    q:put("next")
    assert.error_matches(function() q:lease(0) end, "hook")
    assert.equal("next", q:get(0))
  end)

  it("loses no job of a crowd of workers that are killed at random", function()
    local JOBS, WORKERS = 400, 3
    local jobs, results = mproc.Queue(), mproc.Queue()
    for i = 1, JOBS do
      jobs:put(i)
    end
    jobs:close()
    local function work()
      while true do
        local job, lease = jobs:lease()
        if lease == "closed" then
          return
        end
        results:put(job)
        lease:done()
      end
    end
    local workers, seen, distinct, kills = {}, {}, 0, 0
    for i = 1, WORKERS do
      workers[i] = mproc.Process(work):start()
    end
    local deadline = mproc.time() + 60
    while distinct < JOBS and mproc.time() < deadline do
      local job = results:get(0.01)
      if job and not seen[job] then
        seen[job], distinct = true, distinct + 1
      end
      if kills < 30 and distinct % 7 == 0 then
        local i = math.random(WORKERS)
        kill(workers[i])
        workers[i] = mproc.Process(work):start()
        kills = kills + 1
      end
    end
    assert.equal(JOBS, distinct)
    children.finish_all(workers)
  end)

  describe("of a queue that reports", function()
    it("goes to orphans() with its holder's pid when that dies", function()
      local q <close> = mproc.Queue({ on_death = "report" })
      for i = 1, 4 do
        q:put({ number = i })
      end
      local p = parked(function()
        local _, first = q:lease()
        local _, second = q:lease()
        local _, third = q:lease()
        second:done()
        return first, third
      end)
      local pid = p.pid
      assert.equal(0, q:orphans().n)
      kill(p)
      assert.same({ number = 4 }, q:get(1))
      assert.same({ nil, "empty" }, { q:get(0.2) })
      local orphans, pids = q:orphans()
      assert.same({ { number = 1 }, { number = 3 }, n = 2 }, orphans)
      assert.same({ pid, pid, n = 2 }, pids)
      assert.equal(0, q:orphans().n)
    end)

    it("goes back to the queue when it is dropped by a living holder", function()
      local q <close> = mproc.Queue({ on_death = "report" })
      q:put("again")
      local _, lease = q:lease(0)
      lease:close()
      assert.equal(0, q:orphans().n)
      assert.equal("again", q:get(0))
    end)

    it("and dies with its orphans leaves nothing", function()
      local q = mproc.Queue({ on_death = "report" })
      q:put({ mproc.Queue() })
      kill(parked(function()
        return q:lease()
      end))
      mproc.sleep(0)
      q = nil -- luacheck: ignore 311
    end)
  end)

  it("needs on_death to be one of two words", function()
    local _, message = pcall(function() mproc.Queue({ on_death = "retry" }) end)
    assert.matches("^spec/queue/lease_spec%.lua:%d+: .*requeue.*report", message)
    assert.error_matches(function() mproc.JoinableQueue({ on_death = "report" }) end, "unknown option")
  end)
end)
