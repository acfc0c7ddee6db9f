-- SPDX-License-Identifier: MIT
-- A pipe between processes: order, sizes, sharing, ends that travel, a full arena.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")
local program = require("spec.support.program")

describe("a pipe between processes", function()
  leaks.watch()

  local start, finish = children.start, children.finish

  -- Echoes until the end of the stream. here: the parent's end, which the child inherits.
  local function echo(c, here)
    here:close()
    while true do
      local v, word = c:recv()
      if word then
        return
      end
      c:send(v)
    end
  end

  it("carries values both ways", function()
    local a, b = mproc.Pipe()
    local p = start(function() echo(b, a) end)
    b:close()
    for _, v in ipairs({ 1, "two", { 3 }, true, ("x"):rep(100000) }) do
      a:send(v)
      assert.same({ v }, { a:recv(20) })
    end
    a:close()
    finish(p)
  end)

  it("keeps the boundaries of bytes", function()
    local a, b = mproc.Pipe(false)
    local p = start(function()
      for i = 0, 2000 do
        b:send_bytes(("b"):rep(i % 50 * (i % 7)))
      end
    end)
    b:close()
    for i = 0, 2000 do
      assert.equal(i % 50 * (i % 7), #a:recv_bytes(300, 20))
    end
    assert.same({ nil, "closed" }, { a:recv_bytes() })
    a:close()
    finish(p)
  end)

  it("carries a million small messages in order", function()
    local COUNT = 1000000
    local a, b = mproc.Pipe(false)
    local p = start(function(w)
      for i = 1, COUNT do
        w:send(i)
      end
    end, b)
    b:close()
    for i = 1, COUNT do
      if a:recv(20) ~= i then
        error("out of order at " .. i)
      end
    end
    assert.same({ nil, "closed" }, { a:recv() })
    a:close()
    finish(p)
  end)

  it("carries big messages", function()
    local a, b = mproc.Pipe()
    local p = start(function() echo(b, a) end)
    b:close()
    for _, size in ipairs({ 1 << 20, 100 << 20 }) do
      local s = ("0123456789abcdef"):rep(size // 16)
      a:send(s)
      assert.is_true(a:recv(60) == s)
    end
    a:close()
    finish(p)
  end)

  it("serves many pipes in one process", function()
    local COUNT = 200
    local here, there = {}, {}
    for i = 1, COUNT do
      here[i], there[i] = mproc.Pipe()
    end
    local p = start(function()
      for i = 1, COUNT do
        here[i]:close()
      end
      for i = COUNT, 1, -1 do
        there[i]:send({ i, there[i]:recv() })
      end
    end)
    for i = 1, COUNT do
      there[i]:close()
      here[i]:send("to " .. i)
    end
    for i = 1, COUNT do
      assert.same({ i, "to " .. i }, here[i]:recv(20))
      assert.same({ nil, "closed" }, { here[i]:recv(20) })
    end
    finish(p)
  end)

  it("is shared by the processes that inherit an end: each message goes to one, the end to all", function()
    local a, b = mproc.Pipe()
    local out <close> = mproc.Queue()
    local all = {}
    for i = 1, 3 do
      all[i] = start(function()
        a:close()
        local n = 0
        while true do
          local v, word = b:recv()
          if word then
            out:put({ "end", word })
            return n
          end
          n = n + v
        end
      end)
    end
    b:close()
    for i = 1, 3000 do
      a:send(i)
    end
    for _, p in ipairs(all) do
      proc.wait_asleep(p.pid)
    end
    a:close()
    local sum = 0
    for i = 1, 3 do
      assert.same({ "end", "closed" }, out:get(20))
      sum = sum + all[i]:result(20)
      all[i]:close()
    end
    assert.equal(3000 * 3001 // 2, sum)
  end)

  describe("sends its ends", function()
    it("through a queue to a process that runs, while the sender closes its own", function()
      local carrier = mproc.Queue()
      local p = start(function()
        for _, c in carrier:items() do
          c:send({ "hello from", mproc.getpid(), c:recv() })
          c:close()
        end
      end)
      for i = 1, 100 do
        local a, b = mproc.Pipe()
        a:send(i)
        carrier:put(b)
        b:close()
        assert.same({ "hello from", p.pid, i }, a:recv(20))
        assert.same({ nil, "closed" }, { a:recv(20) })
        a:close()
      end
      carrier:close()
      finish(p)
    end)

    it("through pipes through pipes, from process to process", function()
      local HOPS = 4
      local ends = {}
      for i = 1, HOPS + 1 do
        ends[i] = { mproc.Pipe() }
      end
      local all = {}
      for i = 1, HOPS do
        all[i] = start(function()
          local m = ends[i][2]:recv()
          m.path = m.path .. i
          ends[i + 1][1]:send(m)
        end)
      end
      local a, b = mproc.Pipe()
      ends[1][1]:send({ path = "", c = b })
      b:close()
      local m = ends[HOPS + 1][2]:recv(20)
      assert.equal("1234", m.path)
      m.c:send("from there")
      m.c:close()
      assert.equal("from there", a:recv(20))
      assert.same({ nil, "closed" }, { a:recv(20) })
      children.finish_all(all)
    end)

    it("to one that is killed before it takes them: they end", function()
      local a, b = mproc.Pipe()
      local p = start(function(c)
        c:send("up")
        mproc.sleep(100)
      end, b)
      b:close()
      assert.equal("up", a:recv(20))
      local c, d = mproc.Pipe()
      a:send({ d })
      d:close()
      assert.same({ nil, "timeout" }, { c:recv(0.02) })
      p:kill()
      assert.same({ nil, "closed" }, { c:recv(20) })
      p:join()
      p:close()
    end)

    it("to one that is killed with them in hand", function()
      for round = 1, 20 do
        local a, b = mproc.Pipe()
        local p = start(function(c)
          local kept = {}
          while true do
            kept[#kept + 1] = c:recv()
          end
        end, b)
        b:close()
        local all = {}
        for i = 1, 30 do
          local near, far = mproc.Pipe()
          a:send(far)
          far:close()
          all[i] = near
          if i == round then
            p:kill()
            break
          end
        end
        for _, near in ipairs(all) do
          assert.same({ nil, "closed" }, { near:recv(20) })
        end
        p:join()
        p:close()
        a:close()
      end
    end)
  end)

  it("works in a full arena: a failed send says so, and what stays has stayed", function()
    local r = program.text([[
      local mproc = require("mproc")
      local a, b = mproc.Pipe()
      local s = ("x"):rep(100000)
      local n, ok, message, name = -1
      repeat
        n = n + 1
        ok, message, name = a:send(s)
      until not ok
      print(n > 10, ok, name, (pcall(b.recv_bytes, b, 10)), pcall(mproc.Pipe) or "")
      local before = n
      while b:poll() do
        assert(b:recv_bytes(#s, 0) == s)
        n = n - 1
      end
      print(n, a:send(s), b:recv(0) == s, (b:recv(0)))
      for _ = 1, 5000 do
        local c, d = mproc.Pipe()
        c:close()
        d:close()
      end
    ]], { seconds = 20, env = "MPROC_ARENA=16M" })
    assert.equal("true\tnil\tENOMEM\tfalse\ttrue\n0\ttrue\ttrue\tnil\n", r.out, r.err)
  end)
end)
