-- SPDX-License-Identifier: MIT
-- Conditions: who is woken, in which order, and what becomes of the lock.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local conditions = require("spec.support.conditions")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

local LIMIT = conditions.LIMIT

describe("a condition", function()
  local mproc, proc
  setup(function()
    mproc = require("mproc")
    proc = require("spec.support.proc")
  end)
  leaks.watch()

  local start, finish, kill = children.start, children.finish, children.kill
  local waiting, until_waiting, waiter, notify, names
    = conditions.waiting, conditions.until_waiting, conditions.waiter, conditions.notify, conditions.names

  describe("by itself", function()
    it("has the methods of its lock", function()
      local c = mproc.Condition()
      assert.is_false(c:locked())
      assert.is_nil(c:owner())
      assert.same({ true }, { c:acquire() })
      assert.same({ true }, { c:acquire(0) }) -- an RLock
      assert.is_true(c:locked())
      assert.equal(mproc.getpid(), c:owner())
      c:release()
      assert.is_true(c:locked())
      c:release()
      assert.is_false(c:locked())
      blame.call("nobody holds it", function() c:release() end)
    end)

    it("takes the lock it is given, and shares it", function()
      local lock = mproc.Lock()
      local full, empty = mproc.Condition(lock), mproc.Condition(lock)
      full:acquire()
      assert.is_true(lock:locked())
      assert.is_true(empty:locked())
      assert.same({ false, "timeout" }, { empty:acquire(0) })
      blame.call("RLock", function() empty:acquire() end)
      assert.same({ false, "timeout" }, { empty:wait(0) })
      lock:release()
      assert.is_false(full:locked())
    end)

    it("takes nothing else for a lock", function()
      for _, v in ipairs({ 1, "lock", {}, true, print, mproc.Queue() }) do
        blame.call("mproc.RLock()", function() mproc.Condition(v) end)
      end
      blame.call("mproc.RLock()", function() mproc.Condition(mproc.Condition()) end)
    end)

    it("wants the lock held", function()
      local c = mproc.Condition()
      for _, method in ipairs({ "wait", "notify", "notify_all" }) do
        blame.call("acquire the lock first", function() c[method](c) end)
      end
      blame.call("acquire the lock first", function() c:wait_for(function() return true end) end)
      local p <close> = start(function()
        c:acquire()
        mproc.sleep(100)
      end)
      proc.until_true(function() return c:locked() end, "the lock held")
      blame.call("acquire the lock first", function() c:wait(1) end)
      blame.call("acquire the lock first", function() c:notify() end)
      p:kill()
    end)

    it("tells wrong arguments", function()
      local c = mproc.Condition()
      local _ <close> = c:guard()
      blame.call("block", function() c:wait(true) end)
      blame.call("NaN", function() c:wait(0 / 0) end)
      blame.call("number", function() c:wait("soon") end)
      blame.call("negative", function() c:notify(-1) end)
      blame.call("integer", function() c:notify(1.5) end)
      blame.call("number", function() c:notify("all") end)
      blame.call("function", function() c:wait_for() end)
      blame.call("function", function() c:wait_for(true) end)
      blame.call("timeout", function() c:wait_for(function() end, true) end)
      blame.call("timeout", function() c:wait_for(function() end, 0 / 0) end)
      for _, method in ipairs({ "wait", "notify", "notify_all", "wait_for", "acquire" }) do
        blame.call("colon", function() c[method](nil) end)
        blame.call("colon", function() c[method]({}) end)
      end
    end)

    it("gives up waiting at its time, and holds the lock again", function()
      local c = mproc.Condition()
      local _ <close> = c:guard()
      for _, timeout in ipairs({ 0, -1, 0.05 }) do
        local began = mproc.time()
        assert.same({ false, "timeout" }, { c:wait(timeout) })
        local took = mproc.time() - began
        assert.is_true(took >= timeout and took < 5, "took " .. took)
        assert.equal(mproc.getpid(), c:owner())
      end
    end)

    it("remembers no notification that nobody waited for", function()
      local c = mproc.Condition()
      local _ <close> = c:guard()
      assert.same({ n = 0 }, table.pack(c:notify()))
      assert.same({ n = 0 }, table.pack(c:notify(5)))
      assert.same({ n = 0 }, table.pack(c:notify_all()))
      assert.same({ false, "timeout" }, { c:wait(0.01) })
    end)

    it("tells its lock and how many wait", function()
      local c = mproc.Condition()
      assert.truthy(tostring(c):find("^Condition %d+ %(RLock %d+: free%): 0 waiting$"), tostring(c))
      c:acquire()
      local name = ("held 1 times by 'MainProcess' (pid %d)"):format(mproc.getpid())
      assert.truthy(tostring(c):find(name, 1, true), tostring(c))
      c:release()
    end)

    it("waits inside a coroutine", function()
      local c = mproc.Condition()
      local out <close> = mproc.Queue()
      local p
      local results = { coroutine.wrap(function()
        local _ <close> = c:guard()
        p = start(function()
          c:acquire()
          c:notify()
          c:release()
          out:put("notified")
        end)
        return c:wait(LIMIT)
      end)() }
      assert.same({ true }, results)
      assert.equal("notified", out:get(LIMIT))
      finish(p)
    end)

    it("is the same after a trip, with the same lock", function()
      local q <close> = mproc.Queue()
      local c = mproc.Condition()
      q:put({ c, { c } })
      local back = q:get(0)
      assert.equal(c, back[1])
      assert.is_true(rawequal(back[1], back[2][1]))
      assert.not_equal(c, mproc.Condition())
      c:acquire()
      assert.equal(mproc.getpid(), back[1]:owner())
      back[1]:release()
      assert.is_false(c:locked())
    end)

    it("lives as long as a message names it", function()
      local q <close> = mproc.Queue()
      q:put(mproc.Condition())
      collectgarbage()
      collectgarbage()
      local c = q:get(0)
      assert.same({ false, "timeout" }, { c:with(function() return c:wait(0) end) })
    end)
  end)

  describe("wakes", function()
    it("one that waits, which then holds the lock", function()
      local c = mproc.Condition()
      local out <close> = mproc.Queue()
      local p = start(function()
        c:acquire()
        local results = { c:wait() }
        out:put({ results, c:owner() })
        c:release()
      end)
      until_waiting(c, 1)
      assert.is_false(c:locked()) -- nothing is held meanwhile
      notify(c)
      assert.same({ { true }, p.pid }, out:get(LIMIT))
      finish(p)
    end)

    it("nobody before the lock is released", function()
      local c = mproc.Condition()
      local out <close> = mproc.Queue()
      local p = waiter(c, out, "a")
      c:acquire()
      c:notify()
      assert.equal(0, waiting(c))
      assert.same({ nil, "empty" }, { out:get(0.2) })
      c:release()
      assert.equal("a", names(out, 1))
      finish(p)
    end)

    it("those that have waited longest, as many as asked for", function()
      local c = mproc.Condition()
      local out <close> = mproc.Queue()
      local all = {}
      for i, name in ipairs({ "a", "b", "c", "d", "e", "f" }) do
        all[i] = waiter(c, out, name)
      end
      notify(c)
      assert.equal("a", names(out, 1))
      notify(c, 0)
      notify(c, 3)
      assert.equal("b c d", names(out, 3))
      assert.same({ nil, "empty" }, { out:get(0.15) })
      assert.equal(2, waiting(c))
      notify(c, 1000) -- more than wait
      assert.equal("e f", names(out, 2))
      assert.equal(0, waiting(c))
      for _, p in ipairs(all) do
        finish(p)
      end
    end)

    it("each at once when notified one by one under one lock", function()
      local c = mproc.Condition(mproc.Lock())
      local out <close> = mproc.Queue()
      local all = { waiter(c, out, "a"), waiter(c, out, "b"), waiter(c, out, "c") }
      c:with(function()
        c:notify()
        c:notify()
      end)
      assert.equal("a b", names(out, 2))
      assert.equal(1, waiting(c))
      notify(c)
      assert.equal("c", names(out, 1))
      for _, p in ipairs(all) do
        finish(p)
      end
    end)

    it("a hundred", function()
      local c = mproc.Condition()
      local out <close> = mproc.Queue()
      local all = {}
      for i = 1, 100 do
        all[i] = start(function()
          out:put({ i, c:with(function() return c:wait() end) })
        end)
      end
      until_waiting(c, 100)
      notify(c, 40)
      assert.equal(40, #names(out, 40):gsub("%d+ ?", "."))
      assert.equal(60, waiting(c))
      c:with(function() c:notify_all() end)
      names(out, 60)
      assert.equal(0, waiting(c))
      for _, p in ipairs(all) do
        finish(p)
      end
    end)

    it("one that held its lock several times, and gives it back as often", function()
      local c = mproc.Condition()
      local out <close> = mproc.Queue()
      local p = start(function()
        c:acquire()
        c:acquire()
        c:acquire()
        c:wait()
        c:release()
        c:release()
        out:put(c:mine())
        c:release()
        out:put(c:mine())
      end)
      until_waiting(c, 1)
      assert.is_true(c:acquire(0)) -- it is free altogether
      c:notify()
      c:release()
      assert.is_true(out:get(LIMIT))
      assert.is_false(out:get(LIMIT))
      finish(p)
    end)

    it("a process that ran before the condition was made", function()
      local requests <close> = mproc.Queue()
      local out <close> = mproc.Queue()
      local p = start(function()
        local c = requests:get()
        out:put({ c:with(function() return c:wait() end) })
      end)
      local c = mproc.Condition()
      requests:put(c)
      until_waiting(c, 1)
      notify(c)
      assert.same({ true }, out:get(LIMIT))
      finish(p)
    end)

    it("its grandparent, and a process waits in turn", function()
      local c = mproc.Condition()
      local turn = 0
      local out <close> = mproc.Queue()
      c:acquire()
      local p = start(function()
        local inner = start(function()
          for _ = 1, 200 do
            c:with(function()
              c:notify()
              c:wait()
            end)
          end
          out:put("done")
        end)
        inner:join()
      end)
      for _ = 1, 200 do
        assert.is_true(c:wait(LIMIT))
        turn = turn + 1
        c:notify()
      end
      c:release()
      assert.equal("done", out:get(LIMIT))
      assert.equal(200, turn)
      finish(p)
    end)

    it("only its own waiters when it shares the lock", function()
      local lock = mproc.Lock()
      local a, b = mproc.Condition(lock), mproc.Condition(lock)
      local out <close> = mproc.Queue()
      local pa, pb = waiter(a, out, "a"), waiter(b, out, "b")
      notify(b)
      assert.equal("b", names(out, 1))
      assert.equal(1, waiting(a))
      notify(a)
      assert.equal("a", names(out, 1))
      finish(pa)
      finish(pb)
    end)
  end)

  describe("wait_for", function()
    it("returns at once what is true already", function()
      local c = mproc.Condition()
      local _ <close> = c:guard()
      assert.same({ "yes" }, { c:wait_for(function() return "yes", 2 end) })
      assert.same({ 1 }, { c:wait_for(function() return 1 end, 0) })
    end)

    it("waits until it is true, with the lock held at each look", function()
      local c = mproc.Condition()
      local q <close> = mproc.Queue()
      local p = start(function()
        for i = 1, 3 do
          c:acquire()
          q:put(i)
          c:notify()
          c:release()
        end
      end)
      local owners = {}
      c:acquire()
      local last = c:wait_for(function()
        owners[#owners + 1] = c:owner()
        return q:qsize() == 3 and q:qsize()
      end, LIMIT)
      c:release()
      assert.equal(3, last)
      for _, owner in ipairs(owners) do
        assert.equal(mproc.getpid(), owner)
      end
      finish(p)
    end)

    it("has one timeout for all its waits", function()
      local c = mproc.Condition()
      local p = start(function()
        while true do
          c:with(function() c:notify_all() end)
        end
      end)
      local looks = 0
      local began = mproc.time()
      c:acquire()
      local results = table.pack(c:wait_for(function()
        looks = looks + 1
        return false
      end, 0.3))
      local took = mproc.time() - began
      c:release()
      kill(p)
      assert.same({ false, "timeout", n = 2 }, results)
      assert.is_true(took >= 0.3 and took < 5, "took " .. took)
      assert.is_true(looks > 2, looks .. " looks")
    end)

    it("looks once more when its time is over", function()
      local c = mproc.Condition()
      local _ <close> = c:guard()
      local began = mproc.time()
      assert.equal("late", c:wait_for(function() return mproc.time() - began >= 0.05 and "late" end, 0.05))
      assert.same({ false, "timeout" }, { c:wait_for(function() return nil end, 0) })
      assert.same({ false, "timeout" }, { c:wait_for(function() return nil end, -1) })
    end)

    it("leaves the lock held when its function raises", function()
      local c = mproc.Condition()
      local p = start(function()
        while true do
          c:with(function() c:notify_all() end)
        end
      end)
      c:acquire()
      local looks = 0
      assert.has_error(function()
        c:wait_for(function()
          looks = looks + 1
          return looks == 3 and error("no", 0)
        end, LIMIT)
      end, "no")
      assert.is_true(c:mine())
      assert.equal(0, waiting(c))
      c:release()
      kill(p)
    end)

    it("does not wait when its function has released the lock", function()
      local c = mproc.Condition()
      c:acquire()
      blame.call("released", function()
        c:wait_for(function() c:release() end)
      end)
    end)
  end)

  describe("in a full arena", function()
    it("is refused with a reason", function()
      local r = program.text([[
        local mproc = require("mproc")
        local all, reason = {}, nil
        repeat
          local c, message, name = mproc.Condition()
          all[#all + 1] = c
          reason = not c and name .. ": " .. message
        until reason
        print(#all > 10, reason)
        local c = all[#all]
        print(c:with(function() return c:wait(0) end))
      ]], { env = "MPROC_ARENA=4M" })
      assert.truthy(r.out:find("^true\tENOMEM: the arena is full.-\nfalse\ttimeout\n$"), r.out .. r.err)
    end)
  end)
end)
