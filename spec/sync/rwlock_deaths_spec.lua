-- SPDX-License-Identifier: MIT
-- Read-write locks and the ends of processes that read, write or wait; and what a fork inherits of them.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local rwlocks = require("spec.support.rwlocks")

describe("a read-write lock", function()
  leaks.watch()

  local start, kill, results = children.start, children.kill, children.results
  local reader, writer, until_text = rwlocks.reader, rwlocks.writer, rwlocks.until_text

  describe("is not held by the dead", function()
    it("that read: a writer goes on", function()
      local rw = mproc.RWLock()
      local p, has = reader(rw)
      has()
      kill(p)
      assert.is_true(rw:write_acquire(0))
      rw:write_release()
    end)

    it("that read while a writer sleeps, though nobody has been told", function()
      local rw = mproc.RWLock()
      local victim, has = reader(rw)
      has()
      local p, written = writer(rw)
      proc.wait_asleep(p.pid)
      victim:kill()
      assert.same({ true }, { written() }) -- before it is reaped
      assert.is_true(victim:join(20))
      victim:close()
      kill(p)
    end)

    it("that wrote: all who come are told, until one writes", function()
      local rw = mproc.RWLock()
      for _ = 1, 3 do
        local p, has = writer(rw)
        has()
        kill(p)
        for _ = 1, 2 do
          assert.same({ true, "abandoned" }, { rw:read_acquire(0) })
          assert.same({ false, "timeout" }, { results(start(function() return rw:write_acquire(0) end)) })
          rw:read_release()
        end
        assert.same({ true, "abandoned" }, { rw:write_acquire(0) })
        rw:write_release()
        assert.same({ true }, { rw:read_acquire(0) })
        rw:read_release()
        assert.same({ true }, { rw:write_acquire(0) })
        rw:write_release()
      end
    end)

    it("that wrote: a guard's second result says so", function()
      local rw = mproc.RWLock()
      local p, has = writer(rw)
      has()
      kill(p)
      do
        local guard <close>, word = rw:read_guard()
        assert.truthy(guard)
        assert.equal("abandoned", word)
      end
      local guard <close>, word = rw:guard()
      assert.truthy(guard)
      assert.equal("abandoned", word)
    end)

    it("that wrote while others sleep: they go on, and are told until one writes", function()
      local rw = mproc.RWLock()
      local victim, written = writer(rw)
      written()
      local got = mproc.Queue()
      local all = {}
      for i, name in ipairs({ "read", "read", "write" }) do
        all[i] = start(function()
          local ok, word = rw[name .. "_acquire"](rw)
          got:put({ name, ok, word })
          rw[name .. "_release"](rw)
        end)
        proc.wait_asleep(all[i].pid)
      end
      victim:kill()
      local told = true
      for _ = 1, 3 do
        local name, ok, word = table.unpack(got:get(20))
        assert.is_true(ok)
        assert.equal(told and "abandoned" or nil, word)
        told = told and name == "read"
      end
      for _, p in ipairs(all) do
        results(p)
      end
      assert.is_true(victim:join(20))
      victim:close()
    end)

    it("that waited to write: nobody is told of anything", function()
      local rw = mproc.RWLock()
      rw:read_acquire()
      local p = writer(rw)
      until_text(rw, "to be written")
      kill(p)
      assert.same({ true }, { results(start(function() return rw:read_acquire(0) end)) })
      rw:read_release()
      assert.same({ true }, { rw:write_acquire(0) })
      rw:write_release()
    end)

    it("that left in order, reading or writing", function()
      local rw = mproc.RWLock()
      results(start(function() rw:read_acquire() end))
      assert.same({ true }, { rw:write_acquire(0) })
      rw:write_release()
      results(start(function() rw:write_acquire() end))
      assert.same({ true, "abandoned" }, { rw:write_acquire(0) })
      rw:write_release()
    end)

    it("however they are killed", function()
      local rw = mproc.RWLock()
      local seed = 11
      for round = 1, 60 do
        local p = start(function()
          while true do
            rw:read_with(function() end)
            rw:with(function() end)
          end
        end)
        local q = start(function()
          while rw:read_acquire(20) do
            rw:read_release()
          end
        end)
        seed = (seed * 48271) % 2147483647
        mproc.sleep(seed % 8 / 1000)
        kill(round % 2 == 0 and p or q)
        assert.is_true(rw:write_acquire(20))
        rw:write_release()
        assert.is_true(rw:read_acquire(20))
        rw:read_release()
        kill(round % 2 == 0 and q or p)
        assert.is_true(rw:read_acquire(20))
        rw:read_release()
      end
    end)
  end)

  describe("in a forked child", function()
    it("is not held, whatever the parent holds", function()
      local rw = mproc.RWLock()
      rw:read_acquire()
      assert.same({ false, true, false }, { results(start(function()
        local ok, message = pcall(rw.read_release, rw)
        return ok, message:find("does not read", 1, true) ~= nil, (rw:write_acquire(0))
      end)) })
      rw:read_release()
      rw:write_acquire()
      assert.same({ false, true, false }, { results(start(function()
        local ok, message = pcall(rw.write_release, rw)
        return ok, message:find(tostring(mproc.getppid()), 1, true) ~= nil, (rw:read_acquire(0))
      end)) })
      rw:write_release()
    end)

    it("is not kept alive by what the parent reads", function()
      local rw = mproc.RWLock()
      rw:read_acquire()
      local objects = require("mproc.core").stats
      local p = start(function()
        local other = mproc.RWLock()
        other:read_acquire() -- the first of its own: what was inherited is let go
        other:read_release()
        return true
      end)
      assert.is_true(results(p))
      rw:read_release()
      collectgarbage()
      collectgarbage()
      local before = objects().objects
      rw = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.equal(before - 1, objects().objects)
    end)
  end)
end)
