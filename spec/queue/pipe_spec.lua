-- SPDX-License-Identifier: MIT
-- What one process sees of a pipe: values, both directions, timeouts, polls, closing, bad input.

local blame = require("spec.support.blame")
local clock = require("spec.support.clock")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local stats = require("mproc.core").stats

local HERE = "spec/queue/pipe_spec.lua"

local elapsed = clock.elapsed

describe("a pipe", function()
  leaks.watch()

  local collect = leaks.collect

  it("carries values both ways", function()
    local a <close>, b = mproc.Pipe()
    local values = { 0, -1.5, "", "bytes\0\xff", true, false, { 1, { x = "y" } }, ("long"):rep(50000) }
    for _, from_to in ipairs({ { a, b }, { b, a } }) do
      for _, v in ipairs(values) do
        assert.is_true(from_to[1]:send(v))
      end
      for _, v in ipairs(values) do
        assert.same({ v }, { from_to[2]:recv() })
      end
    end
    b:close()
  end)

  it("carries nil, with no second result", function()
    local a <close>, b = mproc.Pipe()
    a:send(nil)
    local results = table.pack(b:recv())
    assert.equal(1, results.n)
    assert.is_nil(results[1])
  end)

  it("carries a snapshot", function()
    local a <close>, b = mproc.Pipe()
    local t = { 1 }
    a:send(t)
    t[1] = 2
    assert.same({ 1 }, b:recv())
  end)

  it("keeps its two directions apart", function()
    local a <close>, b = mproc.Pipe()
    a:send("from a")
    b:send("from b")
    assert.equal("from b", a:recv(0))
    assert.equal("from a", b:recv(0))
    assert.same({ nil, "timeout" }, { a:recv(0) })
    assert.same({ nil, "timeout" }, { b:recv(0) })
  end)

  it("never makes a sender wait for a reader", function()
    local a <close>, b = mproc.Pipe()
    local big = ("0123456789abcdef"):rep(65536)
    for i = 1, 32 do
      assert.is_true(a:send({ i, big }, 0))
    end
    for i = 1, 32 do
      local m = b:recv(0)
      assert.equal(i, m[1])
      assert.is_true(m[2] == big)
    end
  end)

  it("holds a million messages in order", function()
    local a <close>, b = mproc.Pipe(false)
    for i = 1, 1000000 do
      b:send(i)
    end
    for i = 1, 1000000 do
      if a:recv(0) ~= i then
        error("out of order at " .. i)
      end
    end
    assert.is_false((a:poll()))
  end)

  it("takes a message of 100 MiB", function()
    local s = ("0123456789abcdef"):rep(100 * 65536)
    local a <close>, b = mproc.Pipe()
    a:send_bytes(s)
    b:send(s)
    assert.is_true(b:recv_bytes(#s) == s)
    assert.is_true(a:recv() == s)
  end)

  it("exists a thousand times at once", function()
    local all = {}
    for i = 1, 1000 do
      all[i] = { mproc.Pipe() }
      all[i][1]:send(i)
    end
    for i = 1, 1000 do
      assert.equal(i, all[i][2]:recv(0))
    end
    assert.is_true(stats().objects >= 4000)
  end)

  it("says what it is", function()
    local a, b = mproc.Pipe()
    assert.truthy(tostring(a):find("^Connection %d+: sends and receives, 0 messages"))
    b:send(1)
    assert.truthy(tostring(a):find("1 messages to receive", 1, true))
    b:close()
    assert.truthy(tostring(a):find("other end is closed", 1, true))
    assert.equal("Connection: closed", tostring(b))
    a:close()
    local r <close>, w = mproc.Pipe(false)
    assert.truthy(tostring(r):find(": receives,", 1, true))
    assert.truthy(tostring(w):find(": sends", 1, true))
  end)

  it("tells its state by fields", function()
    local a, b = mproc.Pipe()
    assert.same({ false, true, true }, { a.closed, a.readable, a.writable })
    a:close()
    assert.same({ true, true, true }, { a.closed, a.readable, a.writable })
    assert.is_false(b.closed)
    b:close()
    local r <close>, w = mproc.Pipe(false)
    assert.same({ false, true, false }, { r.closed, r.readable, r.writable })
    assert.same({ false, false, true }, { w.closed, w.readable, w.writable })
    assert.is_nil(r.no_such_field)
    assert.has_error(function() r.closed = true end)
  end)

  describe("of one way", function()
    it("is made by false or by name", function()
      for _, how in ipairs({ false, { duplex = false } }) do
        local r <close>, w = mproc.Pipe(how)
        w:send("down")
        assert.equal("down", r:recv(0))
      end
      for _, how in ipairs({ true, {}, { duplex = true } }) do
        local a <close>, b = mproc.Pipe(how)
        a:send(1)
        b:send(2)
        assert.same({ 2, 1 }, { a:recv(0), b:recv(0) })
      end
    end)

    it("refuses the wrong end and says which is right", function()
      local r <close>, w = mproc.Pipe(false)
      blame.caller(function() r:send(1) end, "only receives")
      blame.caller(function() r:send_bytes("x") end, "only receives")
      blame.caller(function() w:recv() end, "only sends")
      blame.caller(function() w:recv_bytes() end, "only sends")
      blame.caller(function() w:poll() end, "only sends")
      blame.caller(function() w:recv() end, "the first that mproc.Pipe(false) gave")
    end)

    it("ends like any other", function()
      local r, w = mproc.Pipe(false)
      w:send("last")
      w:close()
      assert.equal("last", r:recv())
      assert.same({ nil, "closed" }, { r:recv() })
      r:close()
      r, w = mproc.Pipe(false)
      r:close()
      blame.caller(function() w:send(1) end, "closed")
      w:close()
    end)
  end)

  describe("waits", function()
    it("no longer than asked", function()
      local a <close>, b = mproc.Pipe()
      for _, timeout in ipairs({ 0, -1, -math.huge }) do
        local spent, v, word = elapsed(b.recv, b, timeout)
        assert.same({ nil, "timeout" }, { v, word })
        assert.truthy(spent < 0.5)
        assert.is_true(a:send(1, timeout))
        assert.equal(1, b:recv(timeout))
      end
      local waits = { b.recv, b.poll, function(c, timeout) return c:recv_bytes(nil, timeout) end }
      for _, f in ipairs(waits) do
        for _, timeout in ipairs({ 0.02, 0.25 }) do
          local spent, _, word = elapsed(f, b, timeout)
          assert.equal("timeout", word)
          assert.truthy(spent >= timeout and spent < timeout + 1, "took " .. spent)
        end
      end
    end)

    it("inside a coroutine as well", function()
      local a <close>, b = mproc.Pipe()
      local co = coroutine.wrap(function()
        coroutine.yield(b:recv(0.05))
        a:send("from within")
        return b:recv()
      end)
      assert.same({ nil, "timeout" }, { co() })
      assert.equal("from within", co())
    end)

    it("at nothing when there is something", function()
      local a <close>, b = mproc.Pipe()
      a:send(1)
      assert.equal(1, b:recv(math.huge))
      a:send_bytes("x")
      assert.is_true(b:poll(math.huge))
      assert.equal("x", b:recv_bytes(1, math.huge))
    end)
  end)

  describe("polled", function()
    it("does not wait unless told to, and takes nothing", function()
      local a <close>, b = mproc.Pipe()
      local spent, ready, word = elapsed(b.poll, b)
      assert.same({ false, "timeout" }, { ready, word })
      assert.truthy(spent < 0.5)
      assert.same({ false, "timeout" }, { b:poll(nil) })
      for _, v in ipairs({ "inline", ("large"):rep(20000) }) do
        a:send(v)
        for _ = 1, 3 do
          assert.same({ true }, { b:poll() })
          assert.same({ true }, { b:poll(10) })
        end
        assert.equal(v, b:recv(0))
        assert.is_false((b:poll()))
      end
    end)

    it("is ready at the end of the stream", function()
      local a, b <close> = mproc.Pipe()
      a:send(1)
      a:close()
      assert.is_true(b:poll())
      assert.equal(1, b:recv())
      assert.same({ true }, { b:poll() })
      assert.same({ true }, { b:poll(10) })
      assert.same({ nil, "closed" }, { b:recv() })
    end)
  end)

  describe("when an end is closed", function()
    it("drains, then says so; and lets nobody send to it", function()
      local a, b <close> = mproc.Pipe()
      a:send("last")
      a:send(nil)
      a:close()
      blame.caller(function() b:send(1) end, "closed")
      blame.caller(function() b:send_bytes("x") end, "closed")
      blame.caller(function() b:send(("x"):rep(100000)) end, "closed")
      assert.equal("last", b:recv())
      assert.equal(1, select("#", b:recv()))
      assert.same({ nil, "closed" }, { b:recv() })
      assert.same({ nil, "closed" }, { b:recv(0) })
    end)

    it("refuses all calls on it but another close", function()
      local a, b <close> = mproc.Pipe()
      a:close()
      a:close()
      for _, name in ipairs({ "send", "recv", "poll", "recv_bytes" }) do
        blame.caller(function() a[name](a, 1) end, "this end of the pipe is closed")
      end
      blame.caller(function() a:send_bytes("x") end, "this end of the pipe is closed")
      blame.caller(function() b:send({ c = a }) end, "cannot send value.c: this end of the pipe is closed")
      assert.is_nil(a:close())
    end)

    it("by leaving its scope", function()
      local a, b = mproc.Pipe()
      do
        local _ <close> = a
      end
      assert.is_true(a.closed)
      assert.same({ nil, "closed" }, { b:recv() })
      pcall(function()
        local _ <close> = b
        error("out")
      end)
      assert.is_true(b.closed)
    end)

    it("by the collector", function()
      local b = select(2, mproc.Pipe())
      collect()
      assert.same({ nil, "closed" }, { b:recv() })
      blame.caller(function() b:send(1) end, "closed")
    end)

    it("frees what nobody will read", function()
      local before = stats().bytes
      for _ = 1, 20 do
        local a, b = mproc.Pipe()
        for _ = 1, 20 do
          a:send({ mproc.Queue(), a, ("x"):rep(30000) })
          b:send({ mproc.Queue(), ("x"):rep(60000) })
        end
        a:close()
        b:close()
      end
      collect()
      assert.equal(before, stats().bytes)
    end)
  end)

  describe("given bad input", function()
    it("refuses what cannot travel, with its path, and sends nothing", function()
      local a <close>, b = mproc.Pipe()
      blame.caller(function() a:send({ log = io.stdout }) end, "cannot send value.log: a file belongs to one process")
      blame.caller(function() a:send(coroutine.create(print)) end, "coroutine")
      assert.is_false((b:poll()))
      a:send("still fine")
      assert.equal("still fine", b:recv(0))
    end)

    it("refuses wrong arguments", function()
      local a <close>, b = mproc.Pipe()
      blame.caller(function() a:send(1, true) end, "block")
      blame.caller(function() b:recv(false) end, "block")
      blame.caller(function() b:poll(true) end, "block")
      blame.caller(function() b:recv("soon") end, "number")
      blame.caller(function() b:poll(0 / 0) end, "NaN")
      blame.caller(function() a:send() end, "value expected")
      blame.caller(function() a.recv({}) end, "colon")
      blame.caller(function() a.close(mproc.Queue()) end, "colon")
      blame.caller(function() mproc.Pipe(1) end, "duplex must be")
      blame.caller(function() mproc.Pipe({ duplex = "no" }) end, "duplex must be")
      blame.caller(function() mproc.Pipe({ duplexx = false }) end, "unknown option")
    end)

    it("blames the caller's line", function()
      local a <close>, b = mproc.Pipe()
      local calls = {
        function() a:send(io.stdout) end,
        function() a:send(1, true) end,
        function() b:recv_bytes(-1) end,
        function() mproc.Pipe("x") end,
      }
      for _, f in ipairs(calls) do
        local line = debug.getinfo(f, "S").linedefined
        local message = select(2, pcall(f))
        assert.truthy(message:find(("%s:%d:"):format(HERE, line), 1, true), message)
      end
    end)
  end)

end)
