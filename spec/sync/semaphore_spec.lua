-- SPDX-License-Identifier: MIT
-- Semaphores: counting, waiting, too many releases, permits of the dead, scopes, and what may be done to a waiter.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local clock = require("spec.support.clock")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")

describe("a semaphore", function()
  leaks.watch()

  local KINDS = { "Semaphore", "BoundedSemaphore" }

  local start, finish, kill, stop = children.start, children.finish, children.kill, children.stop

  local elapsed = clock.elapsed

  -- Sleeps in acquire and then puts what that gave, until it is told to go.
  local function waiter(s, got, timeout)
    local p = start(function()
      got:put({ s:acquire(timeout) })
      mproc.sleep(100)
    end)
    proc.wait_asleep(p.pid)
    return p
  end

  for _, kind in ipairs(KINDS) do
    describe("(" .. kind .. ")", function()
      local make
      setup(function() make = mproc[kind] end)

      it("has one permit unless told otherwise", function()
        assert.equal(1, make():get_value())
        assert.equal(0, make(0):get_value())
        assert.equal(3, make(3.0):get_value())
      end)

      it("counts its permits", function()
        local s = make(2)
        assert.same({ true }, { s:acquire() })
        assert.equal(1, s:get_value())
        assert.same({ true }, { s:acquire(0) })
        assert.same({ false, "timeout" }, { s:acquire(0) })
        assert.equal(0, s:get_value())
        assert.equal(0, select("#", s:release()))
        assert.equal(1, s:get_value())
        s:release()
        assert.equal(2, s:get_value())
      end)

      it("takes back several at once", function()
        local s = make(5)
        for _ = 1, 5 do s:acquire() end
        s:release(2)
        assert.equal(2, s:get_value())
        s:release(3)
        assert.equal(5, s:get_value())
      end)

      it("waits no longer than asked", function()
        local s = make(0)
        for _, timeout in ipairs({ 0, -1, -math.huge }) do
          local spent, ok, word = elapsed(s.acquire, s, timeout)
          assert.same({ false, "timeout" }, { ok, word })
          assert.truthy(spent < 0.5)
        end
        local spent, ok, word = elapsed(s.acquire, s, 0.15)
        assert.same({ false, "timeout" }, { ok, word })
        assert.truthy(spent >= 0.15 and spent < 1.15, spent)
        assert.is_true(make(1):acquire(math.huge))
      end)

      it("waits inside a coroutine as well", function()
        local s = make(0)
        local co = coroutine.wrap(function() return s:acquire(0.02) end)
        assert.same({ false, "timeout" }, { co() })
      end)

      it("wakes one who sleeps for each permit", function()
        local s, got = make(3), mproc.Queue()
        for _ = 1, 3 do s:acquire() end
        local all = {}
        for i = 1, 5 do all[i] = waiter(s, got) end
        s:release()
        assert.same({ true }, got:get(20))
        s:release(2)
        assert.same({ true }, got:get(20))
        assert.same({ true }, got:get(20))
        for _, p in ipairs(all) do
          proc.wait_asleep(p.pid)
        end
        assert.is_true(got:empty())
        assert.equal(0, s:get_value())
        for _, p in ipairs(all) do kill(p) end
      end)

      it("never lets in more than it has permits", function()
        local s, inside, most = make(3), mproc.Semaphore(0), mproc.Queue()
        local all = {}
        for i = 1, 6 do
          all[i] = start(function()
            local seen = 0
            for _ = 1, 3000 do
              s:acquire()
              inside:release()
              seen = math.max(seen, inside:get_value())
              inside:acquire()
              s:release()
            end
            most:put(seen)
          end)
        end
        for _, p in ipairs(all) do finish(p) end
        for _ = 1, 6 do
          assert.truthy(most:get(0) <= 3)
        end
        assert.equal(3, s:get_value())
      end)

      it("passes control to and fro", function()
        local ROUNDS = 20000
        local ping, pong = make(1), make(1)
        ping:acquire()
        pong:acquire()
        local p = start(function()
          for _ = 1, ROUNDS do
            ping:acquire()
            pong:release()
          end
        end)
        for i = 1, ROUNDS do
          ping:release()
          assert.is_true(pong:acquire(20))
          assert.truthy(i == ROUNDS or ping:get_value() == 0) -- a bounded one's comes back when the child has ended
        end
        finish(p)
      end)

      it("travels to a process that runs already", function()
        local q, back = mproc.Queue(), mproc.Queue()
        local p = start(function()
          local s = q:get()
          s:acquire()
          back:put(s)
          q:get()
          s:release()
        end)
        local s = make(2)
        q:put(s)
        local again = back:get(20)
        assert.equal(s, again)
        assert.equal(tostring(s), tostring(again))
        assert.equal(1, s:get_value())
        q:put("go on")
        finish(p)
        assert.equal(2, s:get_value())
      end)

      it("lets the others on when one who waits is killed", function()
        local s, got = make(1), mproc.Queue()
        s:acquire()
        local first, second = waiter(s, got), waiter(s, got)
        kill(first)
        s:release()
        assert.same({ true }, got:get(20))
        kill(second)
      end)

      it("lets the others on while one who waits is stopped", function()
        local s, got = make(1), mproc.Queue()
        s:acquire()
        local first = waiter(s, got)
        stop(first)
        local second = waiter(s, got, 0.3)
        assert.same({ false, "timeout" }, got:get(20))
        kill(second)
        local third = waiter(s, got)
        s:release()
        assert.same({ true }, got:get(20))
        kill(third)
        kill(first)
      end)

      it("has guards that end early, once", function()
        local s = make(1)
        local guard <close> = s:guard(0)
        assert.same({ nil, "timeout" }, { s:guard(0) })
        guard:release()
        guard:release()
        assert.equal(1, s:get_value())
      end)

      it("refuses impossible counts", function()
        blame.caller(function() make(-1) end, "an integer from 0 on")
        blame.caller(function() make(1.5) end, "an integer from 0 on")
        blame.caller(function() make("2") end, "an integer from 0 on")
        blame.caller(function() make({}) end, "an integer from 0 on")
        local s = make(2)
        s:acquire()
        blame.caller(function() s:release(0) end, "one permit or more")
        blame.caller(function() s:release(-1) end, "one permit or more")
        blame.caller(function() s:release("x") end, "number")
        blame.caller(function() s:release(0.5) end, "integer")
        assert.equal(1, s:get_value())
      end)

      it("refuses wrong arguments", function()
        local s = make(1)
        blame.caller(function() s:acquire(true) end, "block")
        blame.caller(function() s:acquire(0 / 0) end, "timeout")
        blame.caller(function() s:acquire("soon") end, "seconds")
        blame.caller(function() s.acquire() end, "semaphore")
        blame.caller(function() s.release({}) end, "semaphore")
        blame.caller(function() s.get_value(mproc.Lock()) end, "semaphore")
        blame.caller(function() s:with(nil) end, "function")
        blame.caller(function() s:guard(true) end, "block")
        assert.equal(1, s:get_value())
      end)
    end)
  end

  describe("without a bound", function()
    it("is a counter that goes up as well", function()
      local s = mproc.Semaphore(0)
      s:release(1000)
      s:release()
      assert.equal(1001, s:get_value())
    end)

    it("refuses to count past any integer, and stays as it was", function()
      local s = mproc.Semaphore(2)
      blame.caller(function() s:release(math.maxinteger) end, "larger than any integer")
      assert.equal(2, s:get_value())
      s:release(math.maxinteger - 2)
      assert.equal(math.maxinteger, s:get_value())
      blame.caller(function() s:release() end, "larger than any integer")
      assert.is_true(s:acquire(0))
    end)

    it("gets nothing back from the dead", function()
      local s, taken = mproc.Semaphore(2), mproc.Queue()
      local p = start(function()
        s:acquire()
        taken:put(true)
        mproc.sleep(100)
      end)
      taken:get(20)
      kill(p)
      assert.equal(1, s:get_value())
      finish(start(function() s:acquire() end))
      assert.same({ false, "timeout" }, { s:acquire(0.25) })
    end)

    it("says what it is", function()
      local s = mproc.Semaphore(4)
      assert.truthy(tostring(s):find("^Semaphore %d+: value 4$"), tostring(s))
    end)

    it("counts the same whatever process counts", function()
      local s, all = mproc.Semaphore(0), {}
      for i = 1, 4 do
        all[i] = start(function()
          for k = 1, 10000 do
            s:release(k % 3 + 1)
            s:acquire()
          end
        end)
      end
      for _, p in ipairs(all) do finish(p) end
      assert.equal(4 * 10000, s:get_value())
    end)
  end)

  describe("with a bound", function()
    it("refuses a release too many, and stays as it was", function()
      local s = mproc.BoundedSemaphore(3)
      blame.caller(function() s:release() end, "0 of the semaphore's 3 permits are out")
      s:acquire()
      s:acquire()
      blame.caller(function() s:release(3) end, "cannot release 3: 2 of the semaphore's 3 permits are out")
      assert.equal(1, s:get_value())
      s:release(2)
      assert.equal(3, s:get_value())
      local none = mproc.BoundedSemaphore(0)
      assert.is_false((none:acquire(0)))
      blame.caller(function() none:release() end, "0 of the semaphore's 0 permits")
    end)

    it("lets a process release what another has taken", function()
      local s = mproc.BoundedSemaphore(3)
      s:acquire()
      s:acquire()
      finish(start(function()
        s:acquire()
        s:release(3)
      end))
      assert.equal(3, s:get_value())
      blame.caller(function() s:release() end, "permits are out")
    end)

    it("says who has how many", function()
      local s, taken = mproc.BoundedSemaphore(5), mproc.Queue()
      assert.truthy(tostring(s):find("^BoundedSemaphore %d+: value 5 of 5$"), tostring(s))
      s:acquire()
      local p = mproc.Process{ name = "greedy", target = function()
        s:acquire()
        s:acquire()
        taken:put(true)
        mproc.sleep(100)
      end }:start()
      taken:get(20)
      local text = tostring(s)
      assert.truthy(text:find("value 2 of 5", 1, true), text)
      assert.truthy(text:find(("'greedy' (pid %d) has 2"):format(p.pid), 1, true), text)
      assert.truthy(text:find(("'MainProcess' (pid %d) has 1"):format(mproc.getpid()), 1, true), text)
      kill(p)
      assert.equal(4, s:get_value())
      assert.is_nil(tostring(s):find("greedy", 1, true))
    end)

    -- How a process may end with two permits in its hands.
    local ENDS = {
      ["killed"] = function() mproc.sleep(100) end,
      ["ended by os.exit"] = function() os.exit(0) end,
      ["ended by an error"] = function() io.stderr:close() error("out") end,
      ["ended normally"] = function() end,
    }
    for name, ending in pairs(ENDS) do
      it("gets the permits of a process back that was " .. name, function()
        local s, taken = mproc.BoundedSemaphore(2), mproc.Queue()
        local p = start(function()
          s:acquire()
          s:acquire()
          taken:put(true)
          ending()
        end)
        taken:get(20)
        if name == "killed" then
          p:kill()
        end
        -- Nobody has learned of the end: those who wait do.
        assert.is_true(s:acquire(20))
        assert.is_true(s:acquire(20))
        assert.same({ false, "timeout" }, { s:acquire(0) })
        assert.is_true(p:join(20))
        p:close()
        s:release(2)
        assert.equal(2, s:get_value())
      end)
    end

    it("gives a dead process's permits to those who sleep, when nobody else calls", function()
      local s, taken, got = mproc.BoundedSemaphore(2), mproc.Queue(), mproc.Queue()
      local holder = start(function()
        s:acquire()
        s:acquire()
        taken:put(true)
        mproc.sleep(100)
      end)
      taken:get(20)
      local first, second = waiter(s, got), waiter(s, got)
      os.execute("kill -KILL " .. holder.pid)
      assert.same({ true }, got:get(20))
      assert.same({ true }, got:get(20))
      assert.equal(0, s:get_value())
      assert.truthy(tostring(s):find(("(pid %d) has 1"):format(first.pid), 1, true), tostring(s))
      kill(first)
      kill(second)
      assert.is_true(holder:join(20))
      holder:close()
      assert.equal(2, s:get_value())
    end)

    it("gets the permits of a process back that had dropped its handle", function()
      local s, q, ready = mproc.BoundedSemaphore(2), mproc.Queue(), mproc.Queue()
      local p = start(function()
        s = nil -- its upvalue, a copy
        do
          local mine = q:get()
          mine:acquire()
        end
        collectgarbage()
        collectgarbage()
        ready:put(true)
        mproc.sleep(100)
      end)
      q:put(s)
      ready:get(20)
      assert.equal(1, s:get_value())
      kill(p)
      assert.is_true(s:acquire(0))
      assert.is_true(s:acquire(20))
      s:release(2)
      assert.equal(2, s:get_value())
    end)

    it("is freed though permits were out, once nobody knows it", function()
      local stats = require("mproc.core").stats
      local before = stats().objects
      for _ = 1, 10 do
        mproc.BoundedSemaphore(1):acquire()
      end
      collectgarbage()
      collectgarbage()
      assert.equal(before, stats().objects)
    end)

    it("leaves a child none of its parent's permits", function()
      local s = mproc.BoundedSemaphore(2)
      s:acquire()
      local p = start(function()
        assert(not tostring(s):find("(pid " .. mproc.getpid(), 1, true))
        s:acquire()
      end)
      finish(p)
      assert.equal(1, s:get_value())
      s:release()
      assert.equal(2, s:get_value())
    end)

    it("has every permit back after a hundred kills", function()
      local s, all = mproc.BoundedSemaphore(3), {}
      local function work()
        while true do
          s:acquire()
          s:acquire(0.001)
          pcall(s.release, s, 2)
        end
      end
      for i = 1, 3 do all[i] = start(work) end
      for n = 1, 100 do
        local i = n % 3 + 1
        mproc.sleep(math.random() * 0.004) -- the kill comes at any moment
        kill(all[i])
        all[i] = start(work)
      end
      for _, p in ipairs(all) do kill(p) end
      assert.equal(3, s:get_value())
      for _ = 1, 3 do assert.is_true(s:acquire(0)) end
      assert.is_false((s:acquire(0)))
    end)
  end)

  it("says so when the arena is full", function()
    local r = program.text([[
      local mproc = require("mproc")
      local all = {}
      while true do
        local s, message, name = mproc.BoundedSemaphore(1)
        if not s then
          print(message:find("arena is full", 1, true) ~= nil, name)
          break
        end
        s:acquire()
        all[#all + 1] = s
      end
      all = nil
      collectgarbage()
      collectgarbage()
      print(mproc.BoundedSemaphore(1):acquire(0))
    ]], { env = "MPROC_ARENA=8M" })
    assert.equal("true\tENOMEM\ntrue\n", r.out, r.err)
  end)
end)
