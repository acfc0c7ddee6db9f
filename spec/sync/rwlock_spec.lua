-- SPDX-License-Identifier: MIT
-- Read-write locks: who may hold them together, who waits for whom, the stopped, scopes and mistakes.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")
local rwlocks = require("spec.support.rwlocks")

describe("a read-write lock", function()
  leaks.watch()

  local start, kill, results = children.start, children.kill, children.results
  local reader, writer, until_text = rwlocks.reader, rwlocks.writer, rwlocks.until_text

  describe("lets", function()
    it("many read at once", function()
      local rw = mproc.RWLock()
      local _, first_has, end_first = reader(rw)
      local _, second_has, end_second = reader(rw)
      assert.is_true(first_has())
      assert.is_true(second_has())
      assert.is_true(rw:read_acquire(0))
      rw:read_release()
      end_first()
      end_second()
    end)

    it("one write, and nobody read meanwhile", function()
      local rw = mproc.RWLock()
      local _, has, finish = writer(rw)
      assert.is_true(has())
      assert.same({ false, "timeout" }, { rw:read_acquire(0) })
      assert.same({ false, "timeout" }, { rw:write_acquire(0) })
      finish()
      assert.is_true(rw:read_acquire(0))
      rw:read_release()
      assert.is_true(rw:write_acquire(0))
      rw:write_release()
    end)

    it("a process read as often as it likes", function()
      local rw = mproc.RWLock()
      for _ = 1, 5 do
        assert.is_true(rw:read_acquire())
      end
      for _ = 1, 5 do
        assert.same({ false, "timeout" }, { results(start(function() return rw:write_acquire(0) end)) })
        rw:read_release()
      end
      assert.is_true(results(start(function() return rw:write_acquire(0) end)))
      blame.call("does not read", rw.read_release, rw)
    end)

    it("no write meet a read or another write", function()
      local rw = mproc.RWLock()
      local path = os.tmpname()
      local function write(n)
        local file <close> = assert(io.open(path, "w"))
        file:setvbuf("no")
        file:write(n, "\n") -- whoever reads between these sees half of it
        file:write(n, "\n")
      end
      local function read()
        local file <close> = assert(io.open(path))
        local a, b = file:read("n", "n")
        assert(a and a == b, "a torn read")
        return a
      end
      write(0)
      local all = {}
      for i = 1, 4 do
        all[i] = start(function()
          for _ = 1, 300 do
            if i % 2 == 0 then
              rw:read_with(read)
            else
              rw:with(function() write(read() + 1) end)
            end
          end
        end)
      end
      for _, p in ipairs(all) do
        results(p)
      end
      assert.equal(600, read())
      os.remove(path)
    end)
  end)

  describe("waits", function()
    it("no longer than asked", function()
      local rw = mproc.RWLock()
      local _, has, finish = writer(rw)
      has()
      for _, acquire in ipairs({ rw.read_acquire, rw.write_acquire }) do
        for _, timeout in ipairs({ 0, -1, 0.03, 0.25 }) do
          local began = mproc.time()
          assert.same({ false, "timeout" }, { acquire(rw, timeout) })
          local spent = mproc.time() - began
          assert.truthy(spent >= timeout and spent < math.max(timeout, 0) + 0.5, spent)
        end
      end
      finish()
    end)

    it("until the writer ends, then all readers go on", function()
      local rw = mproc.RWLock()
      assert.is_true(rw:write_acquire())
      local p, first_has, end_first = reader(rw)
      local q, second_has, end_second = reader(rw)
      proc.wait_asleep(p.pid)
      proc.wait_asleep(q.pid)
      rw:write_release()
      assert.is_true(first_has())
      assert.is_true(second_has())
      end_first()
      end_second()
    end)

    it("until the last reader ends", function()
      local rw = mproc.RWLock()
      rw:read_acquire()
      local _, other_has, end_other = reader(rw)
      other_has()
      local p, has, finish = writer(rw)
      proc.wait_asleep(p.pid)
      rw:read_release()
      until_text(rw, "read by 'Process")
      end_other()
      assert.is_true(has())
      finish()
    end)

    it("behind a writer that waits, unless it reads already", function()
      local rw = mproc.RWLock()
      rw:read_acquire()
      local p, has, finish = writer(rw)
      until_text(rw, "to be written")
      assert.same({ false, "timeout" }, { results(start(function() return rw:read_acquire(0.05) end)) })
      assert.is_true(rw:read_acquire(0))
      rw:read_release()
      proc.wait_asleep(p.pid)
      rw:read_release()
      assert.is_true(has())
      finish()
    end)

    it("no longer behind a writer that has given up", function()
      local rw = mproc.RWLock()
      rw:read_acquire()
      local _, has, finish
      local p = start(function() return rw:write_acquire(0.3) end)
      until_text(rw, "to be written")
      _, has, finish = reader(rw)
      assert.same({ false, "timeout" }, { results(p) })
      assert.is_true(has())
      finish()
      rw:read_release()
      assert.is_true(rw:write_acquire(0))
      rw:write_release()
    end)

    it("for one write only, however soon the next ones come", function()
      local rw, began, stop = mproc.RWLock(), mproc.Queue(), mproc.Queue()
      local function write_all_day()
        began:put(true)
        while stop:empty() do
          rw:with(function() end)
        end
      end
      local p, q = start(write_all_day), start(write_all_day)
      began:get(20)
      began:get(20)
      for _ = 1, 20 do
        assert.is_true(rw:read_acquire(5))
        rw:read_release()
      end
      stop:put(true)
      results(p)
      results(q)
    end)

    it("not for a reader that is stopped before it knows that it has the lock", function()
      local rw = mproc.RWLock()
      rw:write_acquire()
      local p, has, finish = reader(rw)
      proc.wait_asleep(p.pid)
      children.stop(p)
      rw:write_release()
      local began = mproc.time()
      assert.is_true(rw:write_acquire(20))
      assert.truthy(mproc.time() - began < 2)
      rw:write_release()
      children.go_on(p)
      assert.is_true(has())
      finish()
    end)

    it("inside coroutines", function()
      local rw = mproc.RWLock()
      local _, has, finish = writer(rw)
      has()
      coroutine.wrap(function()
        assert.same({ false, "timeout" }, { rw:read_acquire(0.02) })
        assert.same({ false, "timeout" }, { rw:write_acquire(0.02) })
      end)()
      finish()
    end)

    for _, acquire in ipairs({ "read_acquire", "write_acquire" }) do
      it("until Ctrl-C, in " .. acquire, function()
        local result = program.text(([[
          local mproc = require("mproc")
          local proc = require("spec.support.proc")
          local rw, parent, held = mproc.RWLock(), mproc.getpid(), mproc.Queue()
          local p = mproc.Process(function()
            rw:write_acquire()
            held:put(true)
            proc.wait_asleep(parent)
            os.execute("kill -INT " .. parent)
            held:get()
            rw:write_release()
          end):start()
          held:get()
          print(pcall(rw.%s, rw))
          held:put(true)
          p:join()
          print(rw:read_acquire(0), rw:read_release(), rw:write_acquire(0))
        ]]):format(acquire), { seconds = 25, env = "LUA_PATH='./?.lua;'\"$LUA_PATH\"" })
        assert.is_false(result.timed_out)
        assert.truthy(result.out:find("^false\t.*interrupted!\ntrue\tnil\ttrue\n$"), result.out .. result.err)
      end)
    end
  end)

  it("stays held when its handle is collected", function()
    local rw, names = mproc.RWLock(), mproc.Queue()
    local p = start(function()
      do
        local mine = names:get()
        mine:read_acquire()
      end
      collectgarbage()
      collectgarbage()
      names:put("held")
      mproc.sleep(100)
    end)
    names:put(rw)
    proc.until_true(function()
      return tostring(rw):find("read by", 1, true)
    end, "it is read")
    proc.wait_asleep(p.pid)
    assert.equal("held", names:get(20))
    assert.same({ false, "timeout" }, { rw:write_acquire(0) })
    kill(p)
    assert.is_true(rw:write_acquire(0))
    rw:write_release()
  end)

  describe("has scopes", function()
    it("for writing", function()
      local rw = mproc.RWLock()
      local function tries()
        return results(start(function() return rw:read_acquire(0) end))
      end
      assert.same({ 1, nil, 3 }, { rw:with(function(...) return ... end, 1, nil, 3) })
      for _, with in ipairs({ rw.with, rw.write_with }) do
        assert.is_false(with(rw, tries))
        assert.has_error(function() with(rw, error, "oops") end, "oops")
        assert.is_true(tries())
      end
      for _, guard in ipairs({ rw.guard, rw.write_guard }) do
        do
          local _ <close> = guard(rw)
          assert.is_false(tries())
        end
        assert.is_true(tries())
      end
    end)

    it("for reading", function()
      local rw = mproc.RWLock()
      local function tries()
        local reads = results(start(function() return rw:read_acquire(0) end))
        return reads, (results(start(function() return rw:write_acquire(0) end)))
      end
      assert.same({ true, false }, { rw:read_with(tries) })
      assert.has_error(function() rw:read_with(error, "oops") end, "oops")
      do
        local _ <close> = rw:read_guard()
        assert.same({ true, false }, { tries() })
      end
      assert.same({ true, true }, { tries() })
    end)

    it("that give up, and that were left early", function()
      local rw = mproc.RWLock()
      local _, has, finish = writer(rw)
      has()
      assert.same({ nil, "timeout" }, { rw:guard(0) })
      assert.same({ nil, "timeout" }, { rw:read_guard(0.01) })
      finish()
      rw:with(function() rw:write_release() end)
      rw:read_with(function() rw:read_release() end)
      local guard <close> = rw:guard()
      guard:release()
      assert.is_true(rw:read_acquire(0))
      rw:read_release()
    end)
  end)

  it("says who reads and who writes", function()
    local rw = mproc.RWLock()
    assert.truthy(tostring(rw):find("^RWLock %d+: free$"))
    local p, has, finish = reader(rw)
    has()
    assert.truthy(tostring(rw):find(("read by '%s' (pid %d)"):format(p.name, p.pid), 1, true))
    rw:read_acquire()
    assert.truthy(tostring(rw):find(("'MainProcess' (pid %d)"):format(mproc.getpid()), 1, true))
    rw:read_release()
    finish()
    p, has, finish = writer(rw)
    has()
    assert.truthy(tostring(rw):find((": written by '%s' (pid %d)"):format(p.name, p.pid), 1, true))
    blame.call(tostring(p.pid), rw.write_release, rw)
    finish()
  end)

  it("travels in a message", function()
    local rw, there = mproc.RWLock(), mproc.Queue()
    local p = start(function()
      local m = there:get()
      return m[1] == m[2], m[1]:read_acquire(0)
    end)
    rw:write_acquire()
    there:put({ rw, rw })
    assert.same({ true, false, "timeout" }, { results(p) })
    rw:write_release()
  end)

  it("counts among the locks a process may hold when written, not when read", function()
    local all = {}
    for i = 1, 1100 do
      all[i] = mproc.RWLock()
      all[i]:read_acquire()
    end
    for i = 1, 1100 do
      all[i]:read_release()
    end
    for i = 1, 1024 do
      all[i]:write_acquire()
    end
    blame.call("1024", all[1025].write_acquire, all[1025])
    assert.is_true(all[1025]:read_acquire(0))
    all[1025]:read_release()
    for i = 1, 1024 do
      all[i]:write_release()
    end
  end)

  it("refuses what would wait for itself, and names the remedy", function()
    local rw = mproc.RWLock()
    rw:read_acquire()
    blame.call("read_release first", rw.write_acquire, rw)
    blame.call("read_release first", rw.write_acquire, rw, 0.01)
    blame.call("read_release first", rw.with, rw, print)
    blame.call("read_release first", rw.guard, rw)
    rw:read_release()
    rw:write_acquire()
    blame.call("write_release first", rw.read_acquire, rw)
    blame.call("write_release first", rw.read_with, rw, print)
    blame.call("write_release first", rw.write_acquire, rw)
    assert.same({ false, "timeout" }, { rw:write_acquire(0.01) })
    rw:write_release()
    blame.call("nobody writes", rw.write_release, rw)
    blame.call("does not read", rw.read_release, rw)
  end)

  it("refuses wrong arguments, and blames the caller's line", function()
    local rw = mproc.RWLock()
    blame.call("no arguments", mproc.RWLock, 1)
    blame.call("timeout", rw.read_acquire, rw, true)
    blame.call("timeout", rw.write_acquire, rw, 0 / 0)
    blame.call("timeout", rw.guard, rw, false)
    blame.call("timeout", rw.read_guard, rw, "1")
    blame.call("function", rw.with, rw, 1)
    blame.call("colon", rw.read_acquire, mproc.Lock())
    blame.call("colon", rw.read_acquire, {})
    assert.truthy(tostring(rw):find("free", 1, true))
  end)

  it("says when there is no room for it", function()
    local result = program.text([[
      local mproc = require("mproc")
      local all, message, name = {}
      repeat
        all[#all + 1], message, name = mproc.RWLock()
      until name
      print(name, #message > 0, all[#all]:write_acquire(0))
    ]], { env = "MPROC_ARENA=4M" })
    assert.equal("ENOMEM\ttrue\ttrue\n", result.out, result.err)
  end)
end)
