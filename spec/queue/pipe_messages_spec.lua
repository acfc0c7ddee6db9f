-- SPDX-License-Identifier: MIT
-- What goes through a pipe that is more than a value: byte messages and their limits, ends of pipes, hooks.

local blame = require("spec.support.blame")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local stats = require("mproc.core").stats

describe("a pipe", function()
  leaks.watch()

  local collect = leaks.collect

  describe("sends bytes", function()
    it("with their boundaries, empty messages included", function()
      local a <close>, b = mproc.Pipe()
      local parts = { "", "a", "", "b\0c", "" }
      for _, size in ipairs({ 31, 32, 511, 512, 32751, 32752, 40000, 0 }) do
        parts[#parts + 1] = ("x"):rep(size)
      end
      for _, part in ipairs(parts) do
        assert.is_true(a:send_bytes(part))
      end
      for _, part in ipairs(parts) do
        assert.is_true(b:poll())
        assert.equal(part, b:recv_bytes())
      end
      assert.is_false((b:poll()))
    end)

    it("from i to j as string.sub does", function()
      local a <close>, b = mproc.Pipe()
      local s = "0123456789"
      for i = -12, 12 do
        a:send_bytes(s, i)
        assert.equal(s:sub(i), b:recv_bytes(nil, 0))
        for j = -12, 12 do
          a:send_bytes(s, i, j)
          assert.equal(s:sub(i, j), b:recv_bytes(nil, 0))
        end
      end
      a:send_bytes(s, math.mininteger, math.maxinteger)
      assert.equal(s, b:recv_bytes(nil, 0))
      a:send_bytes(s, math.maxinteger, math.mininteger)
      assert.equal("", b:recv_bytes(nil, 0))
    end)

    it("that recv takes as a string, and the other way round", function()
      local a <close>, b = mproc.Pipe()
      a:send_bytes("bytes")
      a:send("string")
      assert.equal("bytes", b:recv(0))
      assert.equal("string", b:recv_bytes(nil, 0))
    end)

    it("up to a length: a longer message raises and stays, whatever its size", function()
      local a <close>, b = mproc.Pipe()
      for _, size in ipairs({ 1, 31, 32, 600, 32000, 40000, 1 << 20 }) do
        local s = ("s"):rep(size)
        a:send_bytes(s)
        a:send_bytes("next")
        blame.caller(function() b:recv_bytes(size - 1) end, ("has %d bytes"):format(size))
        blame.caller(function() b:recv_bytes(0) end, "it stays")
        assert.is_true(b:recv_bytes(size, 0) == s)
        assert.equal("next", b:recv_bytes(4, 0))
      end
    end)

    it("of which an empty one fits any length", function()
      local a <close>, b = mproc.Pipe()
      a:send_bytes("")
      assert.equal("", b:recv_bytes(0))
    end)

    it("and takes nothing but strings for them", function()
      local a <close>, b = mproc.Pipe()
      for _, v in ipairs({ 5, true, { "s" }, { ("x"):rep(40000) } }) do
        a:send(v)
        blame.caller(function() b:recv_bytes() end, "recv()")
        blame.caller(function() b:recv_bytes(1 << 30) end, "it stays")
        assert.same(v, b:recv(0))
      end
      a:send(nil)
      blame.caller(function() b:recv_bytes() end, "no string")
      assert.equal(1, select("#", b:recv(0)))
      for _, v in ipairs({ 5, true, {}, print }) do
        blame.caller(function() a:send_bytes(v) end, "string")
      end
      blame.caller(function() a:send_bytes() end, "string")
      blame.caller(function() a:send_bytes("s", "one") end, "i must be an integer")
      blame.caller(function() a:send_bytes("s", 1, {}) end, "must be an integer")
      blame.caller(function() b:recv_bytes(-1) end, "count of bytes")
      blame.caller(function() b:recv_bytes("many") end, "maxlength must be a count of bytes", '"many"')
    end)

    it("until the end, as recv does", function()
      local a, b <close> = mproc.Pipe()
      assert.same({ nil, "timeout" }, { b:recv_bytes(nil, 0.01) })
      a:send_bytes("last")
      a:close()
      assert.equal("last", b:recv_bytes())
      assert.same({ nil, "closed" }, { b:recv_bytes() })
      assert.same({ nil, "closed" }, { b:recv_bytes(10) })
    end)
  end)

  describe("carries ends", function()
    it("that work after a trip, and are equal to the original", function()
      local a <close>, b = mproc.Pipe()
      local c <close>, d = mproc.Pipe()
      a:send({ deep = { d } })
      local copy = b:recv(0).deep[1]
      assert.equal(d, copy)
      copy:send("through the copy")
      assert.equal("through the copy", c:recv(0))
      d:close()
      copy:send("and on")
      assert.equal("and on", c:recv(0))
      assert.is_false(copy.closed)
      copy:close()
      assert.same({ nil, "closed" }, { c:recv() })
    end)

    it("of their own kind", function()
      local carrier <close> = mproc.Queue()
      local r <close>, w = mproc.Pipe(false)
      carrier:put({ r, w })
      local t = carrier:get(0)
      assert.same({ true, false, false, true }, { t[1].readable, t[1].writable, t[2].readable, t[2].writable })
      blame.caller(function() t[1].send(t[1], 1) end, "only receives")
      t[2]:send(1)
      assert.equal(1, t[1]:recv(0))
    end)

    it("that stay open while they are on their way", function()
      local carrier = mproc.Queue()
      local a <close>, b = mproc.Pipe()
      carrier:put(b)
      b:close()
      collect()
      assert.is_true(a:send("waiting there"))
      assert.same({ nil, "timeout" }, { a:recv(0.02) })
      b = carrier:get(0)
      assert.equal("waiting there", b:recv(0))
      carrier:put(b)
      b:close()
      assert.same({ nil, "timeout" }, { a:recv(0.02) })
      carrier, b = nil, nil -- luacheck: ignore 311
      collect()
      assert.same({ nil, "closed" }, { a:recv(5) })
    end)

    it("that nobody can take any more, and that are closed by that", function()
      local a <close>, b = mproc.Pipe()
      local all = {}
      for i = 1, 10 do
        local c, d = mproc.Pipe()
        a:send({ d, ("x"):rep(i % 2 * 50000) })
        d:close()
        all[i] = c
      end
      b:close()
      for _, c in ipairs(all) do
        assert.same({ nil, "closed" }, { c:recv(5) })
        blame.caller(function() c:send(1) end, "closed")
      end
    end)

    it("of the very pipe they go through", function()
      local before = stats().objects
      do
        local a, b = mproc.Pipe()
        a:send(a)
        a:send(a)
        local again = b:recv(0)
        again:send("again")
        assert.equal("again", b:recv(0) and b:recv(0))
        a:send({ a, ("x"):rep(50000) })
        a:close()
        again:close()
        b:close()
      end
      collect()
      assert.equal(before, stats().objects)
    end)

    it("through pipes through pipes", function()
      local DEPTH = 20
      local a, b = mproc.Pipe()
      a:send("at the bottom")
      a:close()
      for _ = 1, DEPTH do
        local c, d = mproc.Pipe()
        c:send(b)
        b:close()
        c:close()
        b = d
      end
      for _ = 1, DEPTH do
        local inner = b:recv(0)
        assert.same({ nil, "closed" }, { b:recv() })
        b:close()
        b = inner
      end
      assert.equal("at the bottom", b:recv(0))
      b:close()
    end)
  end)

  describe("with hooks", function()
    local Point = { __name = "Point" }
    function Point.__mproc_encode(p)
      return { p.act(), p.x }
    end

    local decode -- what a test wants done while a Point is decoded
    setup(function()
      mproc.register("pipe_spec.Point", Point, { decode = function(plain) return decode(plain) end })
    end)
    after_each(function()
      decode = nil -- and with it the ends it names
    end)

    local function point(x, act)
      return setmetatable({ x = x, act = act or function() end }, Point)
    end

    it("consumes the message when a decoder raises", function()
      local a <close>, b = mproc.Pipe()
      decode = function() error("unlucky") end
      a:send(point(1))
      a:send("next")
      assert.truthy(tostring(select(2, pcall(b.recv, b))):find("unlucky", 1, true))
      assert.equal("next", b:recv(0))
    end)

    it("may close the end that receives, and the other, while it decodes", function()
      for _, size in ipairs({ 1, 100000 }) do
        local a, b = mproc.Pipe()
        decode = function()
          a:close()
          b:close()
          collect()
          return "decoded"
        end
        a:send({ point(1), ("x"):rep(size) })
        assert.equal("decoded", b:recv(0)[1])
        assert.is_true(b.closed)
      end
    end)

    it("may receive and send while it decodes", function()
      local a <close>, b = mproc.Pipe()
      decode = function()
        b:send("answer")
        return b:recv(0)
      end
      a:send(point(1))
      a:send("inner")
      assert.equal("inner", b:recv(0))
      assert.equal("answer", a:recv(0))
    end)

    it("may close the end that sends while it encodes", function()
      local a, b <close> = mproc.Pipe()
      blame.caller(function() a:send(point(1, function() a:close() end)) end, "was closed while")
      assert.same({ nil, "closed" }, { b:recv() })
    end)
  end)
end)
