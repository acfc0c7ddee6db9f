-- SPDX-License-Identifier: MIT
-- JoinableQueue: join waits until every message that was put is done, and never for a process that died.

local leaks = require("spec.support.leaks")

describe("a JoinableQueue", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  local function finish(p)
    assert.is_true(p:join(30))
    p:close()
  end

  it("is a queue in all else", function()
    local q <close> = mproc.JoinableQueue(2)
    assert.is_true(q:put(1))
    assert.is_true(q:put(2))
    assert.same({ false, "full" }, { q:put(3, 0) })
    assert.equal(2, q:qsize())
    assert.equal(1, q:get())
    assert.matches("JoinableQueue", tostring(q))
  end)

  it("is joined at once while nothing was put", function()
    local q <close> = mproc.JoinableQueue()
    assert.is_true(q:join(0))
  end)

  it("waits for what is taken and not done, not only for what is in it", function()
    local q <close> = mproc.JoinableQueue()
    q:put("a")
    assert.same({ false, "timeout" }, { q:join(0) })
    q:get(0)
    local began = mproc.time()
    assert.same({ false, "timeout" }, { q:join(0.05) })
    assert.is_true(mproc.time() - began >= 0.05)
    q:task_done()
    assert.is_true(q:join(0))
  end)

  it("raises at a task_done too many, and stays as it was", function()
    local q <close> = mproc.JoinableQueue()
    local _, message = pcall(function() q:task_done() end)
    assert.matches("^spec/queue/joinable_spec%.lua:%d+: .*more often", message)
    q:put(1)
    assert.error_matches(function() q:task_done() end, "more often")
    assert.same({ false, "timeout" }, { q:join(0) })
    q:get(0)
    q:task_done()
    assert.error_matches(function() q:task_done() end, "more often")
    assert.is_true(q:join(0))
  end)

  it("lets another process than the taker say that a task is done", function()
    local q <close> = mproc.JoinableQueue()
    q:put(1)
    q:get(0)
    local p = mproc.Process(function()
      q:task_done()
    end):start()
    assert.is_true(q:join(10))
    finish(p)
    assert.equal(0, p.exitcode)
  end)

  it("joins when workers have done all, also those that tasks have put", function()
    local q = mproc.JoinableQueue()
    local out = mproc.Queue()
    local workers = {}
    for i = 1, 3 do
      workers[i] = mproc.Process(function()
        for _, depth in q:items() do
          if depth > 0 then
            q:put(depth - 1)
            q:put(depth - 1)
          end
          out:put(depth)
          q:task_done()
        end
      end):start()
    end
    q:put(8)
    assert.is_true(q:join(30))
    assert.equal(2 ^ 9 - 1, out:qsize())
    q:close()
    for _, p in ipairs(workers) do
      finish(p)
    end
  end)

  it("wakes every process that waits in join", function()
    local q = mproc.JoinableQueue()
    q:put(1)
    local waiters = {}
    for i = 1, 4 do
      waiters[i] = mproc.Process(function()
        return q:join(20)
      end):start()
    end
    q:get(0)
    q:task_done()
    for _, p in ipairs(waiters) do
      assert.is_true(p:result(10))
      finish(p)
    end
  end)

  it("does not wait for the tasks of a process that died, and says that some were abandoned", function()
    local q <close> = mproc.JoinableQueue()
    local ready <close> = mproc.Queue()
    for i = 1, 3 do
      q:put(i)
    end
    local p = mproc.Process(function()
      q:get()
      q:get()
      q:task_done()
      ready:put(true)
      mproc.sleep(60)
    end):start()
    ready:get(20)
    q:get(0)
    q:task_done()
    assert.same({ false, "timeout" }, { q:join(0.1) })
    p:kill()
    local began = mproc.time()
    assert.same({ true, "abandoned" }, { q:join(10) })
    assert.is_true(mproc.time() - began < 2)
    finish(p)
    assert.same({ true }, { q:join(0) })
    assert.error_matches(function() q:task_done() end, "more often")
  end)

  it("keeps its count when a leased or returned message comes back", function()
    local q <close> = mproc.JoinableQueue()
    q:put("x")
    local _, lease = q:lease(0)
    lease:close()
    assert.same({ false, "timeout" }, { q:join(0) })
    assert.error_matches(function() q:task_done() end, "more often")
    _, lease = q:lease(0)
    lease:done()
    q:task_done()
    assert.is_true(q:join(0))
  end)

  it("reaches a process that ran before, and counts there as here", function()
    local carrier = mproc.Queue()
    local p = mproc.Process(function()
      local q = carrier:get()
      q:get()
      q:task_done()
    end):start()
    local q <close> = mproc.JoinableQueue()
    q:put("job")
    carrier:put(q)
    assert.is_true(q:join(20))
    finish(p)
  end)
end)
