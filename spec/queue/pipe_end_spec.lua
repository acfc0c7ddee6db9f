-- SPDX-License-Identifier: MIT
-- The end of a pipe's stream, in every way that it can come: at once, without a poll by the reader, and for both sides.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")

local SOON = 2 -- it takes a tenth of a second, and what a busy machine adds

describe("a pipe", function()
  leaks.watch()

  local start, finish, kill = children.start, children.finish, children.kill

  describe("ends at once for a reader that sleeps, though nobody joins the sender:", function()
    local ENDINGS = {
      ["its process returns"] = function() end,
      ["its process raises"] = function() error("a traceback that belongs here") end,
      ["its process calls os.exit"] = function() os.exit(3) end,
      ["its process calls os.exit deep inside"] = function() coroutine.wrap(function() pcall(os.exit, 0) end)() end,
      ["its process is killed"] = function() os.execute("kill -KILL " .. mproc.getpid()) end,
      ["its process is terminated"] = function() os.execute("kill -TERM " .. mproc.getpid()) end,
      ["its process closes it and lives on"] = function(c, gate)
        c:close()
        gate:get()
      end,
      ["its process leaves the scope and lives on"] = function(c, gate)
        do
          local _ <close> = c
        end
        gate:get()
      end,
    }
    for name, ending in pairs(ENDINGS) do
      for _, given in ipairs({ "inherited", "as an argument" }) do
        it(name .. ", " .. given, function()
          local gate <close> = mproc.Queue()
          local a, b = mproc.Pipe()
          local parent = mproc.getpid()
          local function target(c)
            a:close()
            proc.wait_asleep(parent)
            c:send(mproc.time())
            proc.wait_asleep(parent)
            c:send(mproc.time())
            ending(c, gate)
          end
          local p = given == "inherited" and start(function() target(b) end) or start(target, b)
          b:close()
          assert.equal("float", math.type(a:recv(20)))
          local last = a:recv(20)
          assert.same({ nil, "closed" }, { a:recv(20) })
          local spent = mproc.time() - last
          assert.truthy(spent < SOON, "the end took " .. spent)
          blame.caller(function() a:send(1) end, "closed")
          gate:put(true)
          assert.is_true(p:join(20))
          p:close()
          a:close()
        end)
      end
    end

    it("its process drops it to the collector and lives on", function()
      local gate <close> = mproc.Queue()
      local carrier <close> = mproc.Queue()
      local p = start(function()
        local c = carrier:get()
        c:send("got it")
        c = nil -- luacheck: ignore 311
        collectgarbage()
        gate:get()
      end)
      local a, b = mproc.Pipe()
      carrier:put(b)
      b:close()
      assert.equal("got it", a:recv(20))
      assert.same({ nil, "closed" }, { a:recv(20) })
      a:close()
      gate:put(true)
      finish(p)
    end)

    it("its process is killed before it has come up", function()
      for _ = 1, 5 do
        local a, b = mproc.Pipe()
        local p = start(function(c) c:recv() end, b)
        p:kill()
        b:close()
        local began = mproc.time()
        assert.same({ nil, "closed" }, { a:recv(20) })
        assert.truthy(mproc.time() - began < SOON)
        p:join()
        p:close()
      end
    end)

    it("its process is killed while it starts others", function()
      for round = 1, 30 do
        local a, b = mproc.Pipe()
        local p = start(function(c)
          a:close()
          c:send("up")
          while true do
            local child <close> = start(function() end)
            child:join()
          end
        end, b)
        b:close()
        assert.equal("up", a:recv(20))
        mproc.sleep(round % 6 * 0.001) -- any moment will do
        p:kill()
        local began = mproc.time()
        assert.same({ nil, "closed" }, { a:recv(20) })
        assert.truthy(mproc.time() - began < SOON) -- the last child may come up first
        p:join()
        p:close()
      end
    end)

    it("its process is killed and only its sibling reads", function()
      local a, b = mproc.Pipe()
      local said <close> = mproc.Queue()
      local gate <close> = mproc.Queue()
      local reader = start(function()
        b:close()
        said:put({ a:recv() })
        said:put({ a:recv() })
      end)
      local sender = start(function()
        a:close()
        b:send("here")
        gate:get()
      end)
      a:close()
      b:close()
      assert.same({ "here" }, said:get(20))
      proc.wait_asleep(reader.pid)
      local began = mproc.time()
      sender:kill()
      local last = said:get(20)
      assert.same({ nil, "closed" }, { last[1], last[2] })
      assert.truthy(mproc.time() - began < SOON)
      finish(reader)
      kill(sender)
    end)

    it("its parent is killed, of which it is a child", function()
      local result <close> = mproc.Queue()
      local p = start(function()
        local a, b = mproc.Pipe()
        start(function()
          a:close()
          result:put(b:recv())
          result:put({ b:recv() })
        end)
        b:close()
        a:send("first")
        mproc.sleep(100)
      end)
      assert.equal("first", result:get(20))
      local began = mproc.time()
      kill(p)
      local last = result:get(20)
      assert.same({ nil, "closed" }, { last[1], last[2] })
      assert.truthy(mproc.time() - began < SOON)
    end)
  end)

  describe("ends for one that never waits:", function()
    -- Calls step until it is true; returns how long that took.
    local function until_done(step)
      local began = mproc.time()
      while not step() do
        assert.truthy(mproc.time() - began < 20, "never ended")
      end
      return mproc.time() - began
    end

    local function with_a_dead_peer(f)
      local a, b = mproc.Pipe()
      local p = start(function(c)
        c:send("up")
        c:recv()
        mproc.sleep(100)
      end, b)
      b:close()
      assert.equal("up", a:recv(20))
      p:kill()
      f(a)
      p:join()
      p:close()
      a:close()
    end

    it("a reader by recv(0)", function()
      with_a_dead_peer(function(a)
        assert.truthy(until_done(function() return select(2, a:recv(0)) == "closed" end) < SOON)
      end)
    end)

    it("a reader by poll()", function()
      with_a_dead_peer(function(a)
        assert.truthy(until_done(function() return a:poll() end) < SOON)
        assert.same({ nil, "closed" }, { a:recv(0) })
      end)
    end)

    it("a sender, which does not fill the memory", function()
      with_a_dead_peer(function(a)
        local used = require("mproc.core").stats
        local chunk = ("x"):rep(1000)
        local message
        local spent = until_done(function()
          local ok, text = pcall(a.send, a, chunk)
          message = text
          return not ok
        end)
        assert.truthy(message:find("closed", 1, true), message)
        assert.truthy(spent < SOON)
        assert.truthy(used().bytes < 1 << 30)
      end)
    end)

    it("a sender of little", function()
      with_a_dead_peer(function(a)
        assert.truthy(until_done(function()
          mproc.sleep(0.02)
          return not pcall(a.send, a, "x")
        end) < SOON)
      end)
    end)
  end)

  it("gives all that a killed sender sent, in order, and then the end", function()
    for round = 1, 40 do
      local a, b = mproc.Pipe(false)
      local p = start(function(w)
        local big = ("x"):rep(50000)
        for i = 1, math.maxinteger do
          w:send({ i, i % 5 == 0 and big or nil })
        end
      end, b)
      b:close()
      for i = 1, 10 + round * 13 % 40 do
        assert.equal(i, a:recv(20)[1])
      end
      p:kill()
      local last = 10 + round * 13 % 40
      while true do
        local m, word = a:recv(20)
        if word then
          assert.equal("closed", word)
          break
        end
        last = last + 1
        assert.same({ last, last % 5 == 0 and 50000 or nil }, { m[1], m[2] and #m[2] })
      end
      p:join()
      p:close()
      a:close()
    end
  end)

  it("tells a sender of a reader killed at any moment, and frees what that one did not read", function()
    local stats = require("mproc.core").stats
    local before = stats().bytes
    for round = 1, 30 do
      local a, b = mproc.Pipe(false)
      local p = start(function(r)
        b:close()
        while r:recv() do -- luacheck: ignore 542
        end
      end, a)
      a:close()
      local message
      for i = 1, math.maxinteger do
        local ok
        ok, message = pcall(b.send, b, { i, ("x"):rep(i % 3 == 0 and 50000 or 10), mproc.Queue() })
        if not ok then
          break
        elseif i == 5 + round * 7 then
          p:kill()
        elseif i > 100 then
          mproc.sleep(0.001)
        end
      end
      assert.truthy(message:find("closed", 1, true), message)
      b:close()
      p:join()
      p:close()
    end
    collectgarbage()
    collectgarbage()
    assert.truthy(stats().bytes <= before, stats().bytes - before .. " bytes stay")
  end)

  it("goes on while a grandchild that inherited the end lives", function()
    local a, b = mproc.Pipe()
    local gate <close> = mproc.Queue()
    local p = start(function()
      start(function()
        b:send("grandchild is up")
        gate:get()
        b:send("grandchild is here")
      end)
      mproc.sleep(100)
    end)
    b:close()
    assert.equal("grandchild is up", a:recv(20))
    kill(p)
    assert.same({ nil, "timeout" }, { a:recv(0.3) })
    gate:put(true)
    assert.equal("grandchild is here", a:recv(20))
    assert.same({ nil, "closed" }, { a:recv(20) })
    a:close()
  end)

  it("goes on while its other end is stopped", function()
    local a, b = mproc.Pipe()
    local p = start(function()
      a:close()
      for _ = 1, 2 do
        b:send((b:recv()))
      end
    end)
    b:close()
    a:send(1)
    assert.equal(1, a:recv(20))
    children.stop(p)
    a:send(2)
    assert.same({ nil, "timeout" }, { a:recv(0.3) })
    children.go_on(p)
    assert.equal(2, a:recv(20))
    a:close()
    finish(p)
  end)

  describe("does not keep a process from ending", function()
    it("whose child reads from it", function()
      local p = start(function()
        local a, b = mproc.Pipe()
        start(function()
          a:close()
          repeat
            local _, word = b:recv()
          until word == "closed" -- so it waits for its parent, which waits for its children
        end)
        b:close()
        a:send(1)
      end)
      assert.is_true(p:join(20))
      p:close()
    end)

    for _, last in ipairs({ "", "os.exit(0)", "os.exit(0, true)", "error('out')" }) do
      it("with the main script's end by " .. (last == "" and "its last line" or last), function()
        local r = program.text([[
          local mproc = require("mproc")
          local a, b = mproc.Pipe()
          mproc.Process(function(c)
            a:close()
            print(c:recv())
            print(c:recv())
          end, b):start()
          b:close()
          a:send("last words")
        ]] .. last, { seconds = 20 })
        assert.is_false(r.timed_out)
        assert.equal("last words\nnil\tclosed\n", r.out, r.err)
      end)
    end
  end)
end)
