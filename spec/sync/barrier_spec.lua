-- SPDX-License-Identifier: MIT
-- Barriers: processes that meet, those that come too late, are killed or leave, the action, and what a handle carries.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")

describe("a barrier", function()
  leaks.watch()

  local start, kill, results = children.start, children.kill, children.results

  local function until_waiting(b, n)
    proc.until_true(function()
      return b.n_waiting == n
    end, n .. " processes waiting at the barrier")
  end

  -- A process that waits once and returns what came of it.
  local function waiter(b, ...)
    return start(function(...) return b:wait(...) end, ...)
  end

  describe("lets processes meet", function()
    it("and gives each an index of its own", function()
      local b = mproc.Barrier(4)
      local all, seen = {}, {}
      for i = 1, 3 do
        all[i] = waiter(b)
      end
      seen[b:wait(60)] = true
      for _, p in ipairs(all) do
        seen[results(p)] = true
      end
      assert.same({ [0] = true, true, true, true }, seen)
    end)

    it("in the order of coming", function()
      local b = mproc.Barrier(3)
      local first = waiter(b)
      until_waiting(b, 1)
      local second = waiter(b)
      until_waiting(b, 2)
      assert.equal(2, b:wait(60))
      assert.equal(0, results(first))
      assert.equal(1, results(second))
    end)

    it("again and again, nobody ahead of the others", function()
      local ROUNDS <const>, OTHERS <const> = 2000, 3
      local b, came = mproc.Barrier(OTHERS + 1), mproc.Queue()
      local all = {}
      for i = 1, OTHERS do
        all[i] = start(function()
          local sum = 0
          for _ = 1, ROUNDS do
            came:put(true)
            sum = sum + b:wait(60)
          end
          return sum
        end)
      end
      local sum = 0
      for round = 1, ROUNDS do
        sum = sum + b:wait(60)
        local n = came:qsize()
        assert.truthy(n >= round * OTHERS and n <= (round + 1) * OTHERS, ("%d in round %d"):format(n, round))
      end
      for _, p in ipairs(all) do
        sum = sum + results(p)
      end
      assert.equal(ROUNDS * (0 + 1 + 2 + 3), sum)
    end)

    it("that are more than its parties, as many at a time", function()
      local ROUNDS <const> = 1000
      local met = mproc.Queue()
      local b = mproc.Barrier(2, function() met:put(true) end)
      local all, first, second = {}, 0, 0
      for i = 1, 4 do
        all[i] = start(function()
          local tally = { [0] = 0, 0 }
          local index = b:wait()
          while index do
            tally[index] = tally[index] + 1
            index = b:wait()
          end
          return tally
        end)
      end
      for _ = 1, ROUNDS do
        assert.is_true(met:get(20))
      end
      b:abort()
      for _, p in ipairs(all) do
        local tally = results(p)
        first, second = first + tally[0], second + tally[1]
      end
      assert.equal(first, second)
      assert.truthy(first >= ROUNDS - 1) -- the last action may have been overtaken by the abort
    end)

    it("at once when it is for one", function()
      local b = mproc.Barrier(1.0)
      assert.equal(0, b:wait(0))
      assert.equal(0, b:wait())
    end)

    it("inside coroutines", function()
      local b = mproc.Barrier(2)
      local p = start(function()
        return coroutine.wrap(function() return b:wait() end)()
      end)
      until_waiting(b, 1)
      assert.equal(1, coroutine.wrap(function() return b:wait(60) end)())
      assert.equal(0, results(p))
    end)

    it("though one of them is stopped once it has come", function()
      local b = mproc.Barrier(3)
      local stopped = waiter(b)
      until_waiting(b, 1)
      proc.wait_asleep(stopped.pid)
      children.stop(stopped)
      local other = waiter(b)
      until_waiting(b, 2)
      assert.equal(2, b:wait(60))
      assert.equal(1, results(other))
      children.go_on(stopped)
      assert.equal(0, results(stopped))
    end)
  end)

  it("tells its parties, how many wait, and whether it is broken", function()
    local b = mproc.Barrier(3)
    assert.same({ 3, 0, false }, { b.parties, b.n_waiting, b.broken })
    assert.truthy(tostring(b):find("^Barrier %d+: 0 of 3 waiting$"))
    local p = waiter(b)
    until_waiting(b, 1)
    assert.truthy(tostring(b):find("1 of 3 waiting", 1, true))
    b:abort()
    assert.same({ 3, 0, true }, { b.parties, b.n_waiting, b.broken })
    assert.truthy(tostring(b):find("broken", 1, true))
    assert.is_nil(b.count)
    assert.same({ nil, "broken" }, { results(p) })
  end)

  describe("has scopes", function()
    it("that begin when all have met", function()
      local b = mproc.Barrier(2)
      local p = waiter(b)
      until_waiting(b, 1)
      assert.same({ 1, nil, 3, n = 3 }, table.pack(b:with(function(...)
        assert.equal(0, (results(p)))
        return ...
      end, 1, nil, 3)))
      p = waiter(b)
      do
        local _ <close> = assert(b:guard(20))
        assert.truthy((results(p)))
      end
      assert.is_false(b.broken)
    end)

    it("that do not begin when they do not meet", function()
      local b = mproc.Barrier(2, nil, 0.01)
      local called
      assert.same({ nil, "timeout", n = 2 }, table.pack(b:with(function() called = true end)))
      assert.same({ nil, "broken", n = 2 }, table.pack(b:with(function() called = true end)))
      assert.same({ nil, "broken", n = 2 }, table.pack(b:guard()))
      b:reset()
      assert.same({ nil, "timeout", n = 2 }, table.pack(b:guard(0)))
      assert.is_nil(called)
    end)

    it("left by an error, which let nobody wait for who will not come", function()
      local b = mproc.Barrier(2)
      local p = start(function() return b:wait(), b:wait() end)
      assert.has_error(function() b:with(error, "oops") end, "oops")
      local first, second = results(p)
      assert.truthy(first)
      assert.is_nil(second)
      assert.is_true(b.broken)
      blame.call("function", b.with, b, 5)
      blame.call("colon", b.with, {}, print)
    end)
  end)

  describe("is broken", function()
    it("by one that comes too early to wait, for all", function()
      local b = mproc.Barrier(3)
      local p = waiter(b)
      until_waiting(b, 1)
      assert.same({ nil, "timeout" }, { b:wait(0.05) })
      assert.same({ nil, "broken" }, { results(p) })
      assert.is_true(b.broken)
      assert.same({ nil, "broken" }, { b:wait() })
      assert.same({ nil, "broken" }, { b:wait(0) })
    end)

    it("no later than asked", function()
      for _, timeout in ipairs({ 0, -1, 0.03, 0.25 }) do
        local b = mproc.Barrier(2)
        local began = mproc.time()
        assert.same({ nil, "timeout" }, { b:wait(timeout) })
        local spent = mproc.time() - began
        assert.truthy(spent >= timeout and spent < math.max(timeout, 0) + 0.5, spent)
      end
    end)

    it("by its own timeout where a wait has none", function()
      local b = mproc.Barrier(2, nil, 0.05)
      assert.same({ nil, "timeout" }, { b:wait() })
      b:reset()
      local p = waiter(b, math.huge)
      until_waiting(b, 1)
      mproc.sleep(0.1) -- longer than the timeout that it was not to take
      assert.equal(1, b:wait(60))
      assert.equal(0, results(p))
    end)

    it("by abort", function()
      local b = mproc.Barrier(3)
      local p, q = waiter(b), waiter(b)
      until_waiting(b, 2)
      b:abort()
      assert.same({ nil, "broken" }, { results(p) })
      assert.same({ nil, "broken" }, { results(q) })
      b:abort()
      assert.is_true(b.broken)
    end)

    it("by the death of one that waits", function()
      local b = mproc.Barrier(4)
      local victim = waiter(b)
      until_waiting(b, 1)
      local p, q = waiter(b), waiter(b)
      until_waiting(b, 3)
      kill(victim)
      assert.same({ nil, "broken" }, { results(p) })
      assert.same({ nil, "broken" }, { results(q) })
      assert.is_true(b.broken)
    end)

    it("by a death that nobody has been told of, within some slices", function()
      local b = mproc.Barrier(3)
      -- It is not reaped before the wait is over: who waits finds out by itself.
      local p = start(function()
        local victim = waiter(b)
        until_waiting(b, 1)
        proc.wait_asleep(victim.pid)
        os.execute("kill -KILL " .. victim.pid)
        local began = mproc.time()
        local index, word = b:wait()
        return index, word, mproc.time() - began
      end)
      local index, word, seconds = results(p)
      assert.same({ nil, "broken" }, { index, word })
      assert.truthy(seconds < 2, seconds)
    end)

    it("by a death that the last one finds, and counts only the living until then", function()
      local b = mproc.Barrier(2)
      local victim = waiter(b)
      until_waiting(b, 1)
      os.execute("kill -KILL " .. victim.pid)
      proc.until_true(function()
        return (proc.state(victim.pid) or "Z") == "Z"
      end, "the victim's end")
      assert.equal(0, b.n_waiting)
      assert.same({ nil, "broken" }, { b:wait() })
      assert.is_true(victim:join(20))
      victim:close()
    end)

    it("by Ctrl-C in one that waits", function()
      local result = program.text([[
        local mproc = require("mproc")
        local proc = require("spec.support.proc")
        local b, parent = mproc.Barrier(3), mproc.getpid()
        local other = mproc.Process(function() return b:wait() end):start()
        proc.until_true(function() return b.n_waiting == 1 end, "the other waits")
        mproc.Process{ daemon = true, target = function()
          proc.until_true(function() return b.n_waiting == 2 end, "both wait")
          proc.wait_asleep(parent)
          os.execute("kill -INT " .. parent)
        end }:start()
        print(coroutine.wrap(function() return pcall(b.wait, b) end)())
        print(other:result(20))
        print(b.broken)
      ]], { seconds = 25, env = "LUA_PATH='./?.lua;'\"$LUA_PATH\"" })
      assert.is_false(result.timed_out)
      assert.truthy(result.out:find("^false\t.*interrupted!\nnil\tbroken\ntrue\n$"), result.out .. result.err)
    end)

    it("after it has let some go, without calling them back", function()
      for _ = 1, 30 do
        local b = mproc.Barrier(3)
        local p, q = waiter(b), waiter(b)
        until_waiting(b, 2)
        assert.equal(2, b:wait(60))
        b:abort() -- at once: the others have perhaps not run since
        local i, j = results(p), results(q)
        assert.equal(1, i + j)
      end
    end)
  end)

  describe("is reset", function()
    it("to be used again", function()
      local b = mproc.Barrier(2)
      b:abort()
      b:reset()
      assert.is_false(b.broken)
      local p = waiter(b)
      until_waiting(b, 1)
      assert.equal(1, b:wait(60))
      assert.equal(0, results(p))
    end)

    it("and frees those who wait as broken", function()
      for _ = 1, 30 do
        local b = mproc.Barrier(3)
        local p, q = waiter(b), waiter(b)
        until_waiting(b, 2)
        b:reset()
        assert.is_false(b.broken)
        assert.equal(0, b.n_waiting)
        local r = waiter(b) -- meets nobody of before
        until_waiting(b, 1)
        assert.same({ nil, "broken" }, { results(p) })
        assert.same({ nil, "broken" }, { results(q) })
        assert.equal(1, b.n_waiting)
        b:abort()
        assert.same({ nil, "broken" }, { results(r) })
      end
    end)

    it("when nobody waits, without effect", function()
      local b = mproc.Barrier(1)
      b:reset()
      assert.equal(0, b:wait())
      assert.is_false(b.broken)
    end)
  end)

  describe("runs its action", function()
    it("once a round, in the last one, before anyone goes on", function()
      local ROUNDS <const> = 300
      local done = mproc.Queue()
      local b = mproc.Barrier(3, function()
        done:put(mproc.getpid())
      end)
      local function rounds()
        local last = 0
        for round = 1, ROUNDS do
          local index = b:wait(60)
          local n = done:qsize()
          if n < round or n > round + 1 then
            error(("%d actions in round %d"):format(n, round))
          end
          last = last + (index == 2 and 1 or 0)
        end
        return last, mproc.getpid()
      end
      local p, q = start(rounds), start(rounds)
      local last, of = {}, {}
      for i, f in ipairs({ rounds, function() return results(p) end, function() return results(q) end }) do
        last[i], of[i] = f()
      end
      assert.equal(ROUNDS, last[1] + last[2] + last[3])
      local by = {}
      for _, pid in ipairs(done:get_many(ROUNDS + 1)) do
        by[pid] = (by[pid] or 0) + 1
      end
      assert.same(last, { by[of[1]] or 0, by[of[2]] or 0, by[of[3]] or 0 })
    end)

    it("and is broken by its error, which is raised in the last one", function()
      local failure = {}
      local b = mproc.Barrier(2, function() error(failure) end)
      local p = waiter(b)
      until_waiting(b, 1)
      local ok, e = pcall(b.wait, b)
      assert.is_false(ok)
      assert.equal(failure, e)
      assert.same({ nil, "broken" }, { results(p) })
      assert.is_true(b.broken)
    end)

    it("and is broken when the last one dies in it", function()
      for how, action in pairs({
        kill = function() os.execute("kill -KILL " .. mproc.getpid()) end,
        exit = function() os.exit(3) end,
      }) do
        local b = mproc.Barrier(2, action)
        local p = waiter(b)
        until_waiting(b, 1)
        local last = waiter(b)
        assert.same({ nil, "broken" }, { results(p) })
        assert.is_true(last:join(20))
        assert.equal(how == "kill" and -9 or 3, last.exitcode)
        last:close()
        assert.is_true(b.broken)
      end
    end)

    it("and is broken when another's time is over meanwhile", function()
      local inside, go = mproc.Queue(), mproc.Queue()
      local b = mproc.Barrier(2, function()
        inside:put(true)
        go:get()
      end)
      local p = start(function()
        local r = table.pack(b:wait(0.2))
        go:put(true)
        return table.unpack(r, 1, r.n)
      end)
      until_waiting(b, 1)
      assert.same({ nil, "broken" }, { b:wait(60) })
      assert.same({ nil, "timeout" }, { results(p) })
      assert.is_true(inside:get(0))
    end)

    it("while others who come wait for the next round, no longer than asked", function()
      local inside, go = mproc.Queue(), mproc.Queue()
      local b = mproc.Barrier(2, function()
        inside:put(true)
        go:get()
      end)
      local p, q = waiter(b), waiter(b)
      inside:get(20)
      assert.equal(2, b.n_waiting)
      assert.same({ nil, "timeout" }, { b:wait(0.05) })
      assert.is_false(b.broken) -- it was none of them
      go:put(true)
      assert.equal(1, results(p) + results(q))
    end)

    it("which cannot wait there itself, nor yield", function()
      local b
      b = mproc.Barrier(1, function() b:wait() end)
      blame.call("action", function() b:wait() end)
      assert.is_true(b.broken)
      b = mproc.Barrier(1, coroutine.yield)
      local ok, message = coroutine.wrap(function() return pcall(b.wait, b) end)()
      assert.is_false(ok)
      assert.truthy(message:find("yield", 1, true))
      assert.is_true(b.broken)
    end)

    it("which may abort or reset it", function()
      local b
      b = mproc.Barrier(1, function() b:abort() end)
      assert.same({ nil, "broken" }, { b:wait() })
      assert.is_true(b.broken)
      b = mproc.Barrier(1, function() b:reset() end)
      assert.same({ nil, "broken" }, { b:wait() })
      assert.is_false(b.broken)
    end)

    it("which may start processes, none of them a party", function()
      local b
      b = mproc.Barrier(1, function()
        local p = start(function() return b.n_waiting, b:wait(0) end)
        assert.same({ 1, nil, "timeout" }, { results(p) })
      end)
      assert.equal(0, b:wait())
    end)
  end)

  describe("travels in a message", function()
    it("to a process that runs already, and is the same there", function()
      local there, back = mproc.Queue(), mproc.Queue()
      local p = start(function()
        local m = there:get()
        back:put(m.b == m.again and m.b.parties == 2)
        return m.b:wait()
      end)
      local b = mproc.Barrier(2)
      there:put({ b = b, again = b })
      assert.is_true(back:get(20))
      until_waiting(b, 1)
      assert.equal(1, b:wait(60))
      assert.equal(0, results(p))
    end)

    it("with its action and its timeout", function()
      local there, said = mproc.Queue(), mproc.Queue()
      local p = start(function()
        local b = there:get()
        said:put({ b:wait() })
        b:reset()
        return b:wait(60)
      end)
      local b = mproc.Barrier(2, function() said:put("acted in " .. mproc.getpid()) end, 0.05)
      there:put(b)
      assert.same({ nil, "timeout" }, said:get(20))
      until_waiting(b, 1)
      assert.equal(1, b:wait(60))
      assert.equal("acted in " .. mproc.getpid(), said:get(20))
      assert.equal(0, results(p))
      p = start(function() return there:get():wait(60) end)
      local other = waiter(b, 60)
      until_waiting(b, 1)
      there:put(b)
      assert.equal(1, results(p))
      assert.equal("acted in " .. p.pid, said:get(20))
      assert.equal(0, results(other))
    end)

    it("unless its action cannot", function()
      local q = mproc.Queue()
      local out = io.stdout
      local b = mproc.Barrier(2, function() out:write("x") end)
      blame.call("action", q.put, q, b)
    end)
  end)

  it("is used up by nothing: parties killed at random, others go on after a reset", function()
    local b = mproc.Barrier(3)
    local seed = 7
    for _ = 1, 40 do
      local all = {}
      for i = 1, 3 do
        all[i] = start(function()
          while b:wait() do end -- luacheck: ignore
          return true
        end)
      end
      seed = (seed * 48271) % 2147483647
      mproc.sleep(seed % 30 / 1000)
      kill(table.remove(all, seed % 3 + 1))
      -- It died waiting, which has broken the barrier, or between two waits: then those who are left wait for it.
      proc.until_true(function()
        return b.broken or b.n_waiting == 2
      end, "the others are broken or wait")
      b:abort()
      for _, p in ipairs(all) do
        assert.is_true(results(p))
      end
      b:reset()
    end
  end)

  it("refuses what makes no sense, and blames the caller's line", function()
    for _, parties in ipairs({ 0, -1, 1.5, "2", {}, 0 / 0, math.huge }) do
      blame.call("parties", mproc.Barrier, parties)
    end
    blame.call("parties", mproc.Barrier)
    blame.call("third argument", mproc.Barrier, 2, 5)
    blame.call("action", mproc.Barrier, 2, "f")
    blame.call("timeout", mproc.Barrier, 2, nil, true)
    blame.call("timeout", mproc.Barrier, 2, nil, "1")
    blame.call("timeout", mproc.Barrier, 2, nil, 0 / 0)
    local b = mproc.Barrier(2)
    blame.call("timeout", b.wait, b, true)
    blame.call("seconds", b.wait, b, "soon")
    blame.call("colon", b.wait, {})
    blame.call("colon", b.wait, mproc.Queue())
    blame.call("parties", function() b.parties = 3 end)
    blame.call("x", function() b.x = 3 end)
    assert.is_false(b.broken)
  end)

  it("says when there is no room for it", function()
    local result = program.text([[
      local mproc = require("mproc")
      local all, message, name = {}
      repeat
        all[#all + 1], message, name = mproc.Barrier(2)
      until name
      print(name, #message > 0)
      all = nil
      collectgarbage()
      print(mproc.Barrier(1):wait())
    ]], { env = "MPROC_ARENA=4M" })
    assert.equal("ENOMEM\ttrue\n0\n", result.out, result.err)
  end)
end)
