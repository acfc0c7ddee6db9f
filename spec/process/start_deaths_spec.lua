-- SPDX-License-Identifier: MIT
-- Start methods and death: a fork server that is killed at any moment, children that never come up, parents that are
-- killed. Nothing hangs, nothing runs twice, nothing is left.

local children = require("spec.support.children")
local core = require("mproc.core")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")

local KILLS = tonumber(os.getenv("START_KILLS")) or 12 -- servers that are killed at random moments
local SECONDS = 60

if os.getenv("ASAN_LUA") then -- whose vfork bears no second one in its child, as the start of a fork server has
  pending("fork servers under ASan")
  return
end

describe("a death", function()
  local served = mproc.get_context("forkserver")
  before_each(function() -- there is a server before each test, and no more after it
    children.finish(served.Process(function() end):start())
  end)
  leaks.watch()

  local function kill(pid)
    os.execute("kill -KILL " .. pid)
  end

  -- The server that runs, which is not the one before.
  local function server(other)
    local pid
    proc.until_true(function()
      pid = core.server_pid()
      return pid and pid ~= other
    end, "a fork server")
    return pid
  end

  local function gone(pid)
    local state = proc.state(pid)
    return state == nil or state == "Z"
  end

  describe("of the fork server", function()
    it("at random moments loses no start, and runs nothing twice", function()
      local runs, stop = mproc.Value("integer"), mproc.Event()
      local killer = mproc.get_context("fork").Process(function()
        local last
        for i = 1, KILLS do
          last = server(last)
          mproc.sleep(math.random() * 0.01 * (i % 4))
          os.execute("kill -KILL " .. last)
        end
        stop:set()
      end):start()
      local started, list = 0, {}
      local function check_all()
        for n, p in pairs(list) do
          assert.equal(n, (p:result(SECONDS)))
          children.finish(p)
          list[n] = nil
        end
      end
      while not stop:is_set() do
        local p, message, name = served.Process(function(n) runs:add(1) return n end, started + 1):start()
        if p then
          started = started + 1
          list[started] = p
        else
          assert.equal("ECHILD", name, message)
        end
        if started % 20 == 0 then
          check_all()
        end
      end
      check_all()
      children.finish(killer)
      assert.truthy(started > 0)
      assert.equal(started, runs.value)
    end)

    it("leaves its processes at work, whose ends are seen; daemons end with it", function()
      local gate, q = mproc.Event(), mproc.Queue()
      local quiet = served.Process(function() gate:wait() q:put("done") return 5 end):start()
      local doomed = served.Process(function() gate:wait() mproc.sleep(100) end):start()
      local daemon = served.Process{ daemon = true, target = function() mproc.sleep(100) end }:start()
      local old = server()
      kill(old)
      assert.equal(-9, children.reap(daemon))
      assert.is_true(quiet:is_alive())
      gate:set()
      assert.equal("done", q:get(SECONDS))
      assert.equal(5, quiet:result(SECONDS))
      assert.equal(0, children.reap(quiet))
      doomed:terminate()
      assert.equal(-15, children.reap(doomed)) -- nobody but who sent it knows
      children.finish(served.Process(function() end):start())
      assert.not_equal(old, server())
    end)

    it("before it has taken a request has that start go to another", function()
      local old = server()
      assert(os.execute("kill -STOP " .. old))
      local killer = mproc.get_context("fork").Process(function(me)
        proc.wait_asleep(me)
        os.execute("kill -KILL " .. old)
      end, mproc.getpid()):start()
      local p = served.Process(function() return "up" end):start()
      assert.equal("up", p:result(SECONDS))
      children.finish(p)
      children.finish(killer)
      assert.not_equal(old, server())
    end)

    it("that is stopped keeps nobody from learning of an end", function()
      local p = served.Process(function() mproc.sleep(100) end):start()
      local pid = server()
      assert(os.execute("kill -STOP " .. pid))
      p:kill()
      local began = mproc.time()
      assert.is_true(p:join(SECONDS))
      assert.equal(-9, p.exitcode)
      assert.truthy(mproc.time() - began < 10)
      p:close()
      assert(os.execute("kill -CONT " .. pid))
      children.finish(served.Process(function() end):start())
    end)

    it("before it was ready is an error of the start, with a reason on stderr", function()
      local r = program.text([[
        local mproc = require("mproc")
        package.preload = nil
        mproc.set_forkserver_preload({ "spec.support.no_such" })
        mproc.set_executable("/bin/false")
        print(mproc.get_context("forkserver").Process(print):start())
      ]])
      assert.equal("nil\tthe fork server ended before it was ready; stderr says why\tECHILD\n", r.out, r.err)
    end)
  end)

  for _, method in ipairs({ "spawn", "forkserver" }) do
    describe("by " .. method, function()
      local context = mproc.get_context(method)

      it("of a child before it has come up is like any", function()
        for round = 1, 10 do
          local q = mproc.Queue()
          local p = context.Process(function() q:put(1) mproc.sleep(100) end):start()
          mproc.sleep(round % 5 * 0.001)
          p:kill()
          local ok, err = pcall(p.result, p, SECONDS)
          assert.same({ false, -9 }, { ok, err.exitcode })
          children.reap(p)
        end
      end)

      it("of a child ends the pipes that were sent to it", function()
        for _ = 1, 5 do
          local a, b = mproc.Pipe()
          local p = context.Process(function(c) c:recv() end, b):start()
          b:close()
          p:kill()
          assert.same({ nil, "closed" }, { a:recv(20) })
          children.reap(p)
          a:close()
        end
      end)

      it("of a parent ends its daemons, and lets the others finish", function()
        local said = os.tmpname()
        local r = program.text(([[
          local mproc = require("mproc")
          local context = mproc.get_context("%s")
          local up = mproc.Queue()
          context.Process{ daemon = true, target = function() up:put(mproc.getpid()) mproc.sleep(100) end }:start()
          local daemon = up:get(20)
          context.Process(function(daemon, parent, said)
            local proc = require("spec.support.proc")
            up:put(true)
            proc.until_true(function() return not mproc.parent_process():is_alive() end, "the parent's end")
            proc.until_true(function() return (proc.state(daemon) or "Z") == "Z" end, "the daemon's end")
            assert(mproc.getppid() ~= parent)
            local file <close> = assert(io.open(said, "w"))
            file:write("both are gone")
          end, daemon, mproc.getpid(), "%s"):start()
          up:get(20)
          os.execute("kill -KILL $PPID")
        ]]):format(method, said), { seconds = 40 })
        assert.same({ 137, "Killed\n" }, { r.code, r.err })
        proc.until_true(function()
          local file <close> = io.open(said)
          return file and file:read("a") == "both are gone"
        end, "the other child's end")
        os.remove(said)
      end)

      it("of all that a process has started comes with tree = true", function()
        local pids = mproc.Queue()
        local p = context.Process(function()
          local list = { mproc.getpid() }
          for i, other in ipairs({ "fork", "spawn", "forkserver" }) do
            local q = mproc.get_context(other).Process(function() mproc.sleep(100) end):start()
            list[i + 1] = q.pid
          end
          pids:put(list)
          mproc.sleep(100)
        end):start()
        local list = pids:get(SECONDS)
        assert.is_true(p:kill({ tree = true }))
        children.reap(p)
        for i, pid in ipairs(list) do
          proc.until_true(function() return gone(pid) end, "the end of process " .. i)
        end
      end)

      it("of a pool's workers, all at once, is mended", function()
        local pool <close> = context.Pool{ processes = 2, on_crash = "retry" }
        local values = {}
        for i = 1, 40 do
          values[i] = pool:submit(function(x) mproc.sleep(0.002) return x end, i)
        end
        for _, pid in ipairs(pool:workers()) do
          kill(pid)
        end
        for i = 1, 40 do
          assert.equal(i, values[i]:get(SECONDS))
        end
      end)
    end)
  end

  it("of a whole tree leaves no name and no process", function()
    local r = program.text([[
      local mproc = require("mproc")
      local up = mproc.Queue()
      for _, method in ipairs({ "spawn", "forkserver", "fork" }) do
        mproc.get_context(method).Process{ daemon = true, target = function() up:put(1) mproc.sleep(100) end }:start()
      end
      for _ = 1, 3 do up:get(20) end
      print(require("mproc.core").server_pid())
      io.stdout:flush()
      os.execute("kill -KILL $PPID")
    ]], { seconds = 40 })
    local pid = assert(tonumber(r.out), r.err)
    proc.until_true(function() return gone(pid) end, "the fork server's end")
  end)
end)
