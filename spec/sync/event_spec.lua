-- SPDX-License-Identifier: MIT
-- Events: the flag, who is released by set() and when, pulses, and what may be done to those who wait.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")

describe("an event", function()
  leaks.watch()

  local start, finish, kill = children.start, children.finish, children.kill

  -- Sleeps in wait and then puts what that gave.
  local function waiter(e, got, timeout)
    local p = start(function()
      got:put({ e:wait(timeout) })
    end)
    proc.wait_asleep(p.pid)
    return p
  end

  it("is a flag", function()
    local e = mproc.Event()
    assert.is_false(e:is_set())
    assert.equal(0, select("#", e:set()))
    assert.is_true(e:is_set())
    e:set()
    assert.is_true(e:is_set())
    assert.equal(0, select("#", e:clear()))
    assert.is_false(e:is_set())
    e:clear()
    assert.is_false(e:is_set())
  end)

  it("says what it is", function()
    local e = mproc.Event()
    assert.truthy(tostring(e):find("^Event %d+: clear$"), tostring(e))
    e:set()
    assert.truthy(tostring(e):find("^Event %d+: set$"), tostring(e))
  end)

  it("is set for a scope, and clear after it", function()
    local e = mproc.Event()
    local results = table.pack(e:with(function(...) return e:is_set(), ... end, 1, nil))
    assert.same({ true, 1, nil, n = 3 }, results)
    assert.is_false(e:is_set())
    assert.has_error(function() e:with(error, "oops") end, "oops")
    assert.is_false(e:is_set())
    do
      local guard <close> = e:guard()
      assert.is_true(e:is_set())
      guard:release()
      assert.is_false(e:is_set())
      e:set()
    end
    assert.is_true(e:is_set())
  end)

  it("wakes one who sleeps when a scope begins, however short that is", function()
    local e, got = mproc.Event(), mproc.Queue()
    local p = waiter(e, got)
    e:with(function() end)
    assert.same({ true }, got:get(20))
    finish(p)
  end)

  it("does not wait when it is set", function()
    local e = mproc.Event()
    e:set()
    for _, timeout in ipairs({ 0, -1, 10, math.huge }) do
      assert.same({ true }, { e:wait(timeout) })
    end
    assert.same({ true }, { e:wait() })
  end)

  it("waits no longer than asked", function()
    local e = mproc.Event()
    for _, timeout in ipairs({ 0, -1, -math.huge, 0.02, 0.25 }) do
      local began = mproc.time()
      assert.same({ false, "timeout" }, { e:wait(timeout) })
      local spent = mproc.time() - began
      assert.truthy(spent >= timeout and spent < math.max(timeout, 0) + 1, spent)
    end
  end)

  it("waits inside a coroutine as well", function()
    local e = mproc.Event()
    local co = coroutine.wrap(function()
      coroutine.yield(e:wait(0.02))
      return e:wait()
    end)
    assert.is_false((co()))
    e:set()
    assert.is_true((co()))
  end)

  it("wakes one who sleeps, and stays set for those who come later", function()
    local e, got = mproc.Event(), mproc.Queue()
    local p = waiter(e, got)
    e:set()
    assert.same({ true }, got:get(20))
    assert.is_true(e:wait(0))
    finish(p)
  end)

  it("ends one wait by its timeout and another by set", function()
    local e, got = mproc.Event(), mproc.Queue()
    local late = waiter(e, got, 0.1)
    local p = waiter(e, got)
    assert.same({ false, "timeout" }, got:get(20))
    e:set()
    assert.same({ true }, got:get(20))
    finish(late)
    finish(p)
  end)

  it("releases who waited before it was set, though it is cleared at once", function()
    local e, got = mproc.Event(), mproc.Queue()
    local all = {}
    for i = 1, 5 do all[i] = waiter(e, got) end
    e:set()
    e:clear()
    for _ = 1, 5 do assert.same({ true }, got:get(20)) end
    assert.same({ false, "timeout" }, { e:wait(0) })
    for _, p in ipairs(all) do finish(p) end
  end)

  it("releases everyone by each pulse", function()
    local WORKERS, PULSES = 4, 25
    local e, got, go_on = mproc.Event(), mproc.Queue(), mproc.Semaphore(0)
    local all = {}
    for i = 1, WORKERS do
      all[i] = start(function()
        for n = 1, PULSES do
          e:wait()
          got:put(n)
          go_on:acquire()
        end
      end)
    end
    for n = 1, PULSES do
      for _, p in ipairs(all) do proc.wait_asleep(p.pid) end
      assert.is_true(got:empty())
      e:set()
      e:clear()
      for _ = 1, WORKERS do assert.equal(n, got:get(20)) end
      go_on:release(WORKERS)
      proc.until_true(function() return go_on:get_value() == 0 end, "all workers going on")
    end
    for _, p in ipairs(all) do finish(p) end
  end)

  it("releases 200 sleepers at once", function()
    local e, got, ready = mproc.Event(), mproc.Queue(), mproc.Queue()
    local all = {}
    for i = 1, 200 do
      all[i] = start(function()
        ready:put(true)
        got:put({ e:wait() })
      end)
    end
    for _ = 1, 200 do ready:get(60) end
    for _, p in ipairs(all) do proc.wait_asleep(p.pid) end
    local began = mproc.time()
    e:set()
    e:clear()
    for _ = 1, 200 do assert.same({ true }, got:get(20)) end
    local spent = mproc.time() - began
    for _, p in ipairs(all) do finish(p) end
    -- A slice for each that follows another would be 20 s, and a slice for all at least 0.1 s.
    assert.truthy(spent < 5, spent)
  end)

  it("releases the others when some who wait are killed", function()
    local e, got = mproc.Event(), mproc.Queue()
    local all = {}
    for i = 1, 6 do all[i] = waiter(e, got) end
    for i = 1, 6, 2 do kill(all[i]) end
    e:set()
    for _ = 1, 3 do assert.same({ true }, got:get(20)) end
    for i = 2, 6, 2 do finish(all[i]) end
  end)

  it("releases the others while one who waits is stopped", function()
    local e, got = mproc.Event(), mproc.Queue()
    local stopped = waiter(e, got)
    children.stop(stopped)
    local p = waiter(e, got)
    e:set()
    e:clear()
    assert.same({ true }, got:get(20))
    finish(p)
    children.go_on(stopped)
    assert.same({ true }, got:get(20))
    finish(stopped)
  end)

  it("loses no set when processes that set it are killed", function()
    local e, got = mproc.Event(), mproc.Queue()
    local p = start(function()
      for _ = 1, 50 do
        e:wait()
        e:clear()
        got:put(true)
      end
    end)
    for _ = 1, 50 do
      local setter = start(function()
        e:set()
        mproc.sleep(100)
      end)
      assert.is_true(got:get(20))
      kill(setter)
    end
    finish(p)
  end)

  it("is waited for together with others, as long as it is set", function()
    local e, q = mproc.Event(), mproc.Queue()
    assert.same({ {}, "timeout" }, { mproc.wait({ e, q }, 0.02) })
    local me = mproc.getpid()
    local p = start(function()
      proc.wait_asleep(me)
      e:set()
    end)
    assert.same({ e }, mproc.wait({ q, e }, 20))
    q:put(1)
    assert.same({ q, e }, mproc.wait({ q, e }, 20))
    e:clear()
    assert.same({ q }, mproc.wait({ q, e }, 20))
    finish(p)
  end)

  it("travels to a process that runs already", function()
    local q, back = mproc.Queue(), mproc.Queue()
    local p = start(function()
      local e = q:get()
      back:put(e)
      back:put({ e:wait() })
    end)
    local e = mproc.Event()
    q:put(e)
    assert.equal(e, back:get(20))
    e:set()
    assert.same({ true }, back:get(20))
    finish(p)
  end)

  it("refuses wrong arguments", function()
    local e = mproc.Event()
    blame.caller(function() e:wait(true) end, "block")
    blame.caller(function() e:wait(0 / 0) end, "timeout")
    blame.caller(function() e:wait({}) end, "seconds")
    blame.caller(function() e.wait() end, "event")
    blame.caller(function() e:with(5) end, "function")
    blame.caller(function() e:guard(true) end, "block")
    blame.caller(function() e.with({}, print) end, "event")
    assert.is_false(e:is_set())
    blame.caller(function() e.set(mproc.Semaphore()) end, "event")
    blame.caller(function() mproc.Event(1) end, "Event takes no arguments, got 1")
  end)
end)
