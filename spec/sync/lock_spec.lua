-- SPDX-License-Identifier: MIT
-- Lock and RLock: who holds them, what a dead owner leaves, scopes, forks, waiting, and being fair.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")

describe("a lock", function()
  leaks.watch()

  local start, finish, kill, stop = children.start, children.finish, children.kill, children.stop

  -- Runs f(...) in another process and returns what that returns.
  local function elsewhere(f, ...)
    return children.results(start(f, ...))
  end

  -- A process that holds it, and does no more.
  local function holder(lock, name)
    local ready = mproc.Queue()
    local p = mproc.Process{ name = name, target = function()
      lock:acquire()
      ready:put(true)
      mproc.sleep(100)
    end }:start()
    assert.is_true(ready:get(20))
    return p
  end

  -- Sleeps in acquire, then puts what that gave and when, and releases.
  local function waiter(lock, got, timeout)
    local p = start(function()
      local results = { lock:acquire(timeout) }
      got:put(results)
      if results[1] then
        lock:release()
      end
    end)
    proc.wait_asleep(p.pid)
    return p
  end

  for _, kind in ipairs({ "Lock", "RLock" }) do
    describe("(" .. kind .. ")", function()
      local make
      setup(function() make = mproc[kind] end)

      it("is free, then held, then free", function()
        local l = make()
        assert.is_false(l:locked())
        assert.is_nil(l:owner())
        assert.same({ true }, { l:acquire() })
        assert.is_true(l:locked())
        assert.equal(mproc.getpid(), l:owner())
        assert.equal(0, select("#", l:release()))
        assert.is_false(l:locked())
        assert.is_nil(l:owner())
      end)

      it("says who holds it", function()
        local l = make()
        assert.truthy(tostring(l):find("^" .. kind .. " %d+: free$"), tostring(l))
        l:acquire()
        assert.truthy(tostring(l):find(("by 'MainProcess' (pid %d)"):format(mproc.getpid()), 1, true), tostring(l))
        l:release()
        local p = holder(l, "keeper")
        assert.truthy(tostring(l):find(("by 'keeper' (pid %d)"):format(p.pid), 1, true), tostring(l))
        assert.is_true(l:locked())
        assert.equal(p.pid, l:owner())
        kill(p)
        assert.truthy(tostring(l):find("free", 1, true), tostring(l))
        assert.is_nil(l:owner())
      end)

      it("keeps others out until it is released", function()
        local l, got = make(), mproc.Queue()
        l:acquire()
        assert.same({ false, "timeout" }, { elsewhere(function() return l:acquire(0) end) })
        local p = waiter(l, got)
        assert.is_true(got:empty())
        l:release()
        assert.same({ true }, got:get(20))
        finish(p)
      end)

      it("waits no longer than asked", function()
        local l = make()
        local p = holder(l)
        for _, timeout in ipairs({ 0, -1, -math.huge, 0.02, 0.25 }) do
          local began = mproc.time()
          assert.same({ false, "timeout" }, { l:acquire(timeout) })
          local spent = mproc.time() - began
          assert.truthy(spent >= timeout and spent < math.max(timeout, 0) + 1, spent)
        end
        kill(p)
        assert.same({ true, "abandoned" }, { l:acquire(math.huge) })
        l:release()
      end)

      it("keeps to the timeouts of all who wait while its owner is stopped", function()
        local l, got = make(), mproc.Queue()
        local p = holder(l)
        stop(p)
        local all = {}
        local began = mproc.time()
        for i = 1, 4 do
          all[i] = start(function() got:put({ l:acquire(0.3) }) end)
        end
        for _ = 1, 4 do assert.same({ false, "timeout" }, got:get(20)) end
        assert.truthy(mproc.time() - began < 5)
        for _, w in ipairs(all) do finish(w) end
        kill(p)
        assert.same({ true, "abandoned" }, { l:acquire(20) })
        l:release()
      end)

      it("goes on to others while one who waits is stopped", function()
        local l, got = make(), mproc.Queue()
        l:acquire()
        local first = waiter(l, got) -- it has waited long enough to starve: nobody may come before it
        stop(first)
        local second, third = waiter(l, got), waiter(l, got)
        l:release()
        assert.same({ true }, got:get(20))
        assert.same({ true }, got:get(20))
        finish(second)
        finish(third)
        assert.is_true(l:acquire(20))
        l:release()
        children.go_on(first)
        assert.same({ true }, got:get(20))
        finish(first)
      end)

      it("goes on to the next waiter when one is killed", function()
        local l, got = make(), mproc.Queue()
        l:acquire()
        local all = {}
        for i = 1, 6 do all[i] = waiter(l, got) end
        for i = 1, 5 do kill(all[i]) end
        l:release()
        local result = got:get(20)
        assert.is_true(result[1])
        finish(all[6])
        assert.is_true(l:acquire(20))
        l:release()
      end)

      -- How an owner may end.
      local ENDS = {
        ["is killed"] = function() mproc.sleep(100) end,
        ["ends by os.exit"] = function() os.exit(0) end,
        ["ends by an error"] = function() io.stderr:close() error("out") end,
        ["ends normally"] = function() end,
      }
      for name, ending in pairs(ENDS) do
        it("is abandoned, once, when its owner " .. name, function()
          local l, taken = make(), mproc.Queue()
          local p = start(function()
            l:acquire()
            taken:put(true)
            ending()
          end)
          taken:get(20)
          if name == "is killed" then
            os.execute("kill -KILL " .. p.pid)
          end
          local began = mproc.time()
          assert.same({ true, "abandoned" }, { l:acquire(20) })
          assert.truthy(mproc.time() - began < 5)
          assert.equal(mproc.getpid(), l:owner())
          l:release()
          assert.same({ true }, { l:acquire() })
          l:release()
          assert.is_true(p:join(20))
          p:close()
        end)
      end

      it("is abandoned for the one who sleeps for it", function()
        local l, got = make(), mproc.Queue()
        local p = holder(l)
        local w = waiter(l, got)
        os.execute("kill -KILL " .. p.pid)
        assert.same({ true, "abandoned" }, got:get(20))
        finish(w)
        assert.is_true(p:join(20))
        p:close()
        assert.same({ true }, { l:acquire(0) })
        l:release()
      end)

      it("is released by its owner only", function()
        local l = make()
        blame.caller(function() l:release() end, "nobody holds it")
        local p = holder(l, "keeper")
        blame.caller(function() l:release() end, ("'keeper' (pid %d) holds it"):format(p.pid))
        assert.equal(p.pid, l:owner())
        kill(p)
        l:acquire()
        l:release()
        blame.caller(function() l:release() end, "nobody holds it")
      end)

      it("belongs to the process, whatever coroutine took it", function()
        local l = make()
        coroutine.wrap(function() l:acquire() end)()
        assert.equal(mproc.getpid(), l:owner())
        coroutine.wrap(function() l:release() end)()
        assert.is_false(l:locked())
        local co = coroutine.wrap(function()
          l:acquire()
          coroutine.yield(l:locked())
          l:release()
        end)
        assert.is_true(co())
        co()
        assert.is_false(l:locked())
      end)

      it("is not owned by a child that is forked while it is held", function()
        local l = make()
        l:acquire()
        local owner, released, message, again = elsewhere(function()
          local ok, text = pcall(l.release, l)
          return l:owner(), ok, text, (l:acquire(0.02))
        end)
        assert.equal(mproc.getpid(), owner)
        assert.is_false(released)
        assert.truthy(message:find("holds it", 1, true), message)
        assert.is_false(again)
        l:release()
        assert.is_true((elsewhere(function() return l:acquire(0) end)))
        assert.same({ true, "abandoned" }, { l:acquire() })
        l:release()
      end)

      it("travels to a process that runs already", function()
        local q, back = mproc.Queue(), mproc.Queue()
        local p = start(function()
          local l = q:get()
          back:put({ l:acquire(0) })
          q:get()
          back:put({ l:acquire(0), l })
          l:release()
        end)
        local l = make()
        l:acquire()
        q:put(l)
        assert.same({ false, "timeout" }, back:get(20))
        l:release()
        q:put("now")
        local result = back:get(20)
        assert.is_true(result[1])
        assert.equal(l, result[2])
        assert.equal(kind, tostring(result[2]):match("^%a+"))
        finish(p)
      end)

      it("lives on while it is held, though its handles are gone", function()
        local stats = require("mproc.core").stats
        local before = stats().objects
        local q = mproc.Queue()
        do
          local l = make()
          l:acquire()
          q:put(l)
        end
        collectgarbage()
        collectgarbage()
        local again = q:get(0)
        assert.equal(mproc.getpid(), again:owner())
        again:release()
        again = nil -- luacheck: ignore 311
        q = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
        assert.equal(before, stats().objects)
      end)

      it("is one of 1,024 that a process may hold", function()
        local all = {}
        for i = 1, 1024 do
          all[i] = make()
          assert.is_true((all[i]:acquire()))
        end
        local l = make()
        blame.caller(function() l:acquire() end, "1024 locks")
        blame.caller(function() l:acquire(0) end, "1024 locks")
        blame.caller(function() l:with(print) end, "1024 locks")
        assert.is_false(l:locked())
        all[500]:release()
        assert.is_true(l:acquire(0))
        assert.is_true(all[1]:locked())
        l:release()
        all[500]:acquire()
        for _, held in ipairs(all) do held:release() end
        assert.is_true(l:acquire(0))
        l:release()
      end)

      it("gives all 1,024 of them back when their owner is killed", function()
        local all, ready = {}, mproc.Queue()
        for i = 1, 1024 do all[i] = make() end
        local p = start(function()
          for _, l in ipairs(all) do l:acquire() end
          ready:put(true)
          mproc.sleep(100)
        end)
        assert.is_true(ready:get(20))
        kill(p)
        for _, l in ipairs(all) do
          assert.same({ true, "abandoned" }, { l:acquire(0) })
        end
        for _, l in ipairs(all) do l:release() end
      end)

      describe("has scopes:", function()
        it("with accepts that the function has released it", function()
          local l = make()
          l:with(function() l:release() end)
          assert.is_false(l:locked())
        end)

        it("a guard accepts that the lock was released by hand", function()
          local l = make()
          do
            local _ <close> = l:guard()
            l:release()
          end
          assert.is_false(l:locked())
        end)

        it("a guard that is not granted is nil and a reason", function()
          local l = make()
          local p = holder(l)
          assert.same({ nil, "timeout" }, { l:guard(0.02) })
          kill(p)
          local guard, word = l:guard(0)
          assert.equal("abandoned", word)
          guard:release()
        end)
      end)

      it("refuses wrong arguments", function()
        blame.caller(function() make(true) end, kind .. " takes no arguments, got true")
        local l = make()
        blame.caller(function() l:acquire(false) end, "block")
        blame.caller(function() l:acquire(0 / 0) end, "timeout")
        blame.caller(function() l:acquire("soon") end, "seconds")
        blame.caller(function() l:guard(true) end, "block")
        blame.caller(function() l.acquire() end, "lock")
        blame.caller(function() l.release(mproc.Queue()) end, "lock")
        blame.caller(function() l.owner({}) end, "lock")
        assert.is_false(l:locked())
      end)
    end)
  end

  describe("acquired again by its owner", function()
    it("raises and names RLock, which may be", function()
      local l = mproc.Lock()
      l:acquire()
      blame.caller(function() l:acquire() end, "RLock")
      blame.caller(function() l:with(print) end, "RLock")
      assert.equal(mproc.getpid(), l:owner())
      l:release()
      assert.is_false(l:locked())
    end)

    it("with a timeout, is refused after that time", function()
      local l = mproc.Lock()
      l:acquire()
      for _, timeout in ipairs({ 0, -1, 0.15 }) do
        local began = mproc.time()
        assert.same({ false, "timeout" }, { l:acquire(timeout) })
        local spent = mproc.time() - began
        assert.truthy(spent >= timeout and spent < math.max(timeout, 0) + 1, spent)
      end
      l:release()
    end)

    it("counts, when it is an RLock", function()
      local l = mproc.RLock()
      for n = 1, 5 do
        assert.same({ true }, { l:acquire(n % 2 == 0 and 0 or nil) })
        assert.truthy(tostring(l):find(("held %d times by 'MainProcess'"):format(n), 1, true), tostring(l))
      end
      for _ = 1, 4 do
        l:release()
        assert.is_false((elsewhere(function() return l:acquire(0) end)))
      end
      l:release()
      assert.is_false(l:locked())
      blame.caller(function() l:release() end, "nobody holds it")
      assert.is_true((elsewhere(function()
        local ok = l:acquire(0)
        l:release()
        return ok
      end)))
    end)

    it("counts in scopes, too", function()
      local l = mproc.RLock()
      local _ <close> = l:guard()
      l:with(function()
        l:with(function()
          assert.truthy(tostring(l):find("held 3 times", 1, true))
        end)
      end)
      assert.truthy(tostring(l):find("held 1 times", 1, true))
    end)

    it("is one of an RLock's depth again after its owner's death", function()
      local l, ready = mproc.RLock(), mproc.Queue()
      local p = start(function()
        for _ = 1, 3 do l:acquire() end
        ready:put(true)
        mproc.sleep(100)
      end)
      ready:get(20)
      kill(p)
      assert.same({ true, "abandoned" }, { l:acquire() })
      assert.truthy(tostring(l):find("held 1 times", 1, true), tostring(l))
      l:release()
      assert.is_false(l:locked())
    end)
  end)

  describe("among many", function()
    it("protects what it guards, whoever is killed", function()
      local l, all = mproc.Lock(), {}
      local path = os.tmpname()
      local function write(text)
        local file <close> = assert(io.open(path, "w"))
        file:write(text)
      end
      write("0 0")
      -- Two numbers that are equal whenever nobody is in between.
      local function work()
        while true do
          local _, abandoned = l:acquire()
          local file <close> = assert(io.open(path))
          local a, b = file:read("n", "n")
          if a ~= b and not abandoned then
            os.exit(3)
          end
          write(("%d %d"):format((a or 0) + 1, a or 0))
          write(("%d %d"):format((a or 0) + 1, (a or 0) + 1))
          l:release()
        end
      end
      for i = 1, 3 do all[i] = start(work) end
      for n = 1, 60 do
        local i = n % 3 + 1
        mproc.sleep(math.random() * 0.005) -- the kill comes at any moment
        assert.is_true(all[i]:is_alive())
        kill(all[i])
        all[i] = start(work)
      end
      for _, p in ipairs(all) do
        assert.is_true(p:is_alive())
        kill(p)
      end
      assert.is_true((l:acquire(20)))
      l:release()
      os.remove(path)
    end)

    local PROCESSES, BATCHES, BATCH = 4, 1000, 1000

    -- Each one's share of a million acquisitions by all, and its longest wait in seconds.
    local function compete()
      local l, batches, go = mproc.Lock(), mproc.Semaphore(BATCHES), mproc.Event()
      local ready, out = mproc.Queue(), mproc.Queue()
      local all = {}
      for i = 1, PROCESSES do
        all[i] = start(function()
          local time = mproc.time
          local done, longest = 0, 0
          ready:put(true)
          go:wait()
          while batches:acquire(0) do
            for _ = 1, BATCH do
              local began = time()
              l:acquire()
              local waited = time() - began
              l:release()
              longest = waited > longest and waited or longest
            end
            done = done + 1
          end
          out:put({ share = done / BATCHES, longest = longest })
        end)
      end
      for _ = 1, PROCESSES do ready:get(20) end
      go:set()
      local smallest, longest = 1, 0
      for _ = 1, PROCESSES do
        local r = out:get(60)
        smallest, longest = math.min(smallest, r.share), math.max(longest, r.longest)
      end
      for _, p in ipairs(all) do finish(p) end
      return smallest, longest
    end

    it("is fair: of a million acquisitions by four none has under a tenth, and nobody waits for 100 ms", function()
      -- A wait is the machine's as well: what other programs take from the four is in it, and on a busy one that is
      -- more than the lock's own share. So it is tried again for half a minute.
      local seen, deadline = {}, mproc.time() + 30
      repeat
        local smallest, longest = compete()
        if smallest >= 0.1 and longest <= 0.1 then
          return
        end
        seen[#seen + 1] = ("%.3f, %.1f ms"):format(smallest, longest * 1000)
      until mproc.time() > deadline
      error("smallest share and longest wait: " .. table.concat(seen, "; "))
    end)
  end)
end)
