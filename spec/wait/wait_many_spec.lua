-- SPDX-License-Identifier: MIT
-- mproc.wait for many objects, and of many processes: what it costs, who else is woken, what a killed one leaves.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")
local readiness = require("spec.support.readiness")

local MANY = 500

describe("wait", function()
  leaks.watch()

  local start, finish, kill = children.start, children.finish, children.kill
  local assert_ready, fd_pair, close_fds = readiness.exactly, readiness.fd_pair, readiness.close_fds

  describe("with " .. MANY .. " objects", function()
    local queues
    before_each(function()
      queues = {}
      for i = 1, MANY do
        queues[i] = mproc.Queue()
      end
    end)
    after_each(function()
      queues = nil
    end)

    it("wakes for whichever is put into", function()
      local order <close> = mproc.Queue()
      local p = start(function()
        for _, i in order:items() do
          proc.wait_asleep(mproc.getppid())
          queues[i]:put(i)
        end
      end)
      for _, i in ipairs({ 1, MANY, 250, 251, 2 }) do
        order:put(i)
        assert_ready({ queues[i] }, queues)
        assert.equal(i, queues[i]:get(0))
      end
      order:close()
      finish(p)
    end)

    it("uses next to no time while idle", function()
      local used
      for _ = 1, 4 do -- a busy machine makes it more, never less
        local before = os.clock()
        assert_ready({}, queues, 1)
        used = os.clock() - before
        if used < 0.01 then break end
      end
      assert.truthy(used < 0.01, used .. " s of CPU in a second")
    end)

    it("takes time in proportion, not more", function()
      local function cpu_of(list)
        local least = math.huge
        for _ = 1, 5 do
          local before = os.clock()
          for _ = 1, 10 do
            mproc.wait(list, 0.001)
          end
          least = math.min(least, os.clock() - before)
        end
        return least
      end
      local few, many = cpu_of({ table.unpack(queues, 1, MANY // 10) }), cpu_of(queues)
      assert.truthy(many < 30 * few, ("%g s for %d, %g s for %d"):format(few, MANY // 10, many, MANY))
    end)
  end)

  it("uses less than 5 ms of CPU in a second of waiting", function()
    local q <close> = mproc.Queue()
    local fd, other = fd_pair()
    local p = start(function() mproc.sleep(100) end)
    local before = os.clock()
    assert_ready({}, { q, fd, p }, 1)
    local used = os.clock() - before
    assert.truthy(used < 0.005, used .. " s of CPU in a second")
    kill(p)
    close_fds(fd, other)
  end)

  it("shares a queue with others that wait for it, asleep in get or in wait", function()
    local COUNT = 300
    local q = mproc.Queue()
    local taken <close> = mproc.Queue()
    local processes = {}
    for n = 1, 4 do
      processes[n] = start(function()
        while true do
          if n > 2 then
            mproc.wait({ q })
          end
          local v, word = q:get(n <= 2 and 20 or 0)
          if word == "closed" then
            return
          elseif v then
            taken:put(v)
          end
        end
      end)
    end
    for i = 1, COUNT do
      q:put(i)
      if i % 10 == 0 then
        mproc.sleep(0.001) -- lets them fall asleep again
      end
    end
    local seen = {}
    for _ = 1, COUNT do
      local v = taken:get(20)
      assert.is_nil(seen[v])
      seen[v] = true
    end
    q:close()
    children.finish_all(processes)
    assert.is_true(taken:empty())
  end)

  it("killed, leaves nothing behind and nobody worse off", function()
    local q <close> = mproc.Queue()
    local idle <close> = mproc.Queue()
    local answers <close> = mproc.Queue()
    local chunks = require("mproc.core").stats().chunks
    local doomed = {}
    for i = 1, 5 do
      doomed[i] = start(function() mproc.wait({ q, idle }) end)
      proc.wait_asleep(doomed[i].pid)
    end
    local survivor = start(function()
      mproc.wait({ idle, q })
      answers:put(q:get(0))
    end)
    proc.wait_asleep(survivor.pid)
    for _, p in ipairs(doomed) do
      kill(p)
    end
    q:put("for the survivor")
    assert.equal("for the survivor", answers:get(20))
    finish(survivor)
    doomed, survivor = nil, nil
    proc.until_true(function()
      collectgarbage()
      collectgarbage()
      return require("mproc.core").stats().chunks <= chunks + 2 -- the queues have a segment each now
    end, "their tables are freed")
    assert.is_nil(doomed or survivor)
  end)

  it("works in a child as in its parent, both at once", function()
    local mine <close> = mproc.Queue()
    local its <close> = mproc.Queue()
    local fd = mine:fileno() -- so that there is something to inherit
    local p = start(function()
      for i = 1, 50 do
        assert(mproc.wait({ its })[1] == its)
        assert(its:get(0) == i)
        mine:put(i)
      end
    end)
    for i = 1, 50 do
      its:put(i)
      assert_ready({ mine }, { mine })
      assert.equal(i, mine:get(0))
    end
    finish(p)
    assert.equal(fd, mine:fileno())
  end)

  it("works, a slice late, where no descriptor is left", function()
    local r = program.shell([[ulimit -n 24; exec ${LUA:-lua5.4} -e '
      local mproc = require("mproc")
      local q, idle = mproc.Queue(), mproc.Queue()
      local p = mproc.Process(function()
        mproc.sleep(0.05)
        q:put("came")
        mproc.sleep(0.3)
      end):start()
      local held, file = {}
      repeat
        file = io.open("/dev/null")
        held[#held + 1] = file
      until not file
      local began = mproc.time()
      assert(mproc.wait({ idle, q, p }, 20)[1] == q)
      assert(mproc.time() - began < 2)
      print(q:get(0))
      assert(mproc.wait({ idle, q, p }, 20)[1] == p)
      print(select(3, q:fileno()))
    ']], 30)
    assert.equal("came\nEMFILE\n", r.out, r.err)
  end)

  it("ends on Ctrl-C, inside a coroutine as well", function()
    local r = program.shell([[exec ${LUA:-lua5.4} -e '
      local mproc = require("mproc")
      local q, me = mproc.Queue(), mproc.getpid()
      local p = mproc.Process(function()
        mproc.sleep(0.3)
        os.execute("kill -INT " .. me)
      end):start()
      local co = coroutine.create(function() mproc.wait({ q }) end)
      local ok, message = coroutine.resume(co)
      print(ok, message)
    ' 2>&1]], 20)
    assert.truthy(r.out:find("interrupted!", 1, true), r.out .. r.err)
  end)
end)
