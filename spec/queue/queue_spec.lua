-- SPDX-License-Identifier: MIT
-- What one process sees of a queue: values, timeouts, sizes, batches, closing, bad input.

local blame = require("spec.support.blame")
local clock = require("spec.support.clock")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")

local elapsed = clock.elapsed

describe("a queue", function()
  leaks.watch()

  describe("carries", function()
    local function through(v)
      local q <close> = mproc.Queue()
      assert.is_true(q:put(v))
      return q:get(0)
    end

    it("booleans, numbers and strings", function()
      for _, v in ipairs({ true, false, 0, 1, -1, 255, 256, math.maxinteger, math.mininteger, 0.5, -1e308,
        math.huge, -math.huge, "", "x", "a\0b\xff", ("long"):rep(5000) }) do
        local back = through(v)
        assert.equal(v, back)
        assert.equal(math.type(v), math.type(back))
      end
    end)

    it("floats bit for bit", function()
      local negative_zero = through(-0.0)
      assert.equal("\0\0\0\0\0\0\0\x80", string.pack("<d", negative_zero))
      assert.equal("float", math.type(through(1.0)))
      for _, bits in ipairs({ 0x7ff8000000000000, 0x7ff8000000000123, -1 }) do
        local nan = string.unpack("<d", string.pack("<i8", bits))
        assert.equal(bits, (string.unpack("<i8", string.pack("<d", through(nan)))))
      end
    end)

    it("nil, with no second result", function()
      local q <close> = mproc.Queue()
      q:put(nil)
      assert.equal(1, q:qsize())
      local results = table.pack(q:get(0))
      assert.equal(1, results.n)
      assert.is_nil(results[1])
    end)

    it("tables with any keys, cycles and shared references", function()
      local shared = { 1 }
      local t = { "list", n = 3, [1.5] = "float", [true] = "yes", [-7] = shared, other = shared }
      t.self = t
      t[shared] = "key"
      local back = through(t)
      assert.equal(back, back.self)
      assert.equal(back[-7], back.other)
      assert.equal("key", back[back.other])
      assert.equal("list", back[1])
      assert.equal("float", back[1.5])
      assert.equal("yes", back[true])
      assert.equal(3, back.n)
      assert.not_equal(t, back)
    end)

    it("functions with their upvalues", function()
      local n, log = 40, { "a" }
      local back = through(function(x)
        log[#log + 1] = "b"
        return n + x, #log
      end)
      assert.same({ 42, 2 }, { back(2) })
      assert.equal(1, #log)
    end)

    it("functions that use globals", function()
      -- Loaded, because busted gives its specs a globals table of their own, which no other process has.
      local f = load("local n = ... return function(x) return math.max(n, x) end")(3)
      local back = through(f)
      assert.equal(5, back(5))
      assert.equal(3, back(1))
    end)

    it("a module's functions by name", function()
      assert.equal(string.format, through(string.format))
      assert.equal(math, through(math))
    end)

    it("a snapshot: later changes stay with the sender", function()
      local q <close> = mproc.Queue()
      local t = { 1, 2, 3 }
      q:put(t)
      t[1] = "changed"
      assert.same({ 1, 2, 3 }, q:get(0))
    end)

    it("strings of every size round the limit between inline and large messages", function()
      local q <close> = mproc.Queue()
      for _, center in ipairs({ 0, 16, 127, 255, 4096, 32 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024 }) do
        for size = math.max(0, center - 17), center + 17 do
          local s = ("%08x"):format(size):rep(size // 8 + 1):sub(1, size)
          q:put(s)
          assert.is_true(q:get(0) == s, "size " .. size)
        end
      end
    end)

    it("a string of 64 MiB", function()
      local s = ("0123456789abcdef"):rep(4 * 1024 * 1024)
      local q <close> = mproc.Queue()
      q:put(s)
      q:put({ s, "after" })
      assert.is_true(q:get(0) == s)
      local t = q:get(0)
      assert.is_true(t[1] == s)
      assert.equal("after", t[2])
    end)
  end)

  it("is first in, first out, whatever the sizes", function()
    local q <close> = mproc.Queue()
    local sizes = { 0, 10, 100000, 5, 40000, 3, 2000000, 1 }
    for round = 1, 20 do
      for i, size in ipairs(sizes) do
        q:put({ round, i, ("s"):rep(size) })
      end
    end
    for round = 1, 20 do
      for i, size in ipairs(sizes) do
        local m = q:get(0)
        assert.same({ round, i, size }, { m[1], m[2], #m[3] })
      end
    end
  end)

  it("says what it is", function()
    local q = mproc.Queue()
    assert.truthy(tostring(q):find("Queue"))
    q:close()
    assert.truthy(tostring(q):find("closed"))
  end)

  describe("waits", function()
    it("no longer than asked", function()
      local q <close> = mproc.Queue()
      for _, timeout in ipairs({ 0, -1, -0.5, -math.huge }) do
        local spent, v, word = elapsed(q.get, q, timeout)
        assert.same({ nil, "empty" }, { v, word })
        assert.truthy(spent < 0.5)
      end
      for _, timeout in ipairs({ 0.02, 0.25 }) do
        local spent, v, word = elapsed(q.get, q, timeout)
        assert.same({ nil, "empty" }, { v, word })
        assert.truthy(spent >= timeout, "returned early, after " .. spent)
        assert.truthy(spent < timeout + 1, "returned late, after " .. spent)
      end
    end)

    it("inside a coroutine as well", function()
      local q <close> = mproc.Queue()
      local co = coroutine.wrap(function()
        local v, word = q:get(0.05)
        coroutine.yield(v, word)
        q:put("from within")
        return q:get()
      end)
      assert.same({ nil, "empty" }, { co() })
      assert.equal("from within", co())
    end)

    it("not at all with get_nowait and put_nowait", function()
      local q <close> = mproc.Queue(1)
      assert.same({ nil, "empty" }, { q:get_nowait() })
      assert.is_true(q:put_nowait("a"))
      assert.same({ false, "full" }, { q:put_nowait("b") })
      assert.equal("a", q:get_nowait())
    end)

    it("takes an infinite timeout", function()
      local q <close> = mproc.Queue()
      q:put(1, math.huge)
      assert.equal(1, q:get(math.huge))
    end)
  end)

  describe("with a maxsize", function()
    it("is full at that many messages", function()
      local q <close> = mproc.Queue(2)
      assert.is_false(q:full())
      assert.is_true(q:put(1))
      assert.is_true(q:put(nil))
      assert.is_true(q:full())
      local spent, ok, word = elapsed(q.put, q, 3, 0.05)
      assert.same({ false, "full" }, { ok, word })
      assert.truthy(spent >= 0.05 and spent < 1)
      assert.equal(2, q:qsize())
      assert.equal(1, q:get())
      assert.is_false(q:full())
      assert.is_true(q:put(3, 0))
      assert.is_nil((q:get()))
      assert.equal(3, q:get())
    end)

    it("takes the maxsize by name", function()
      local q <close> = mproc.Queue({ maxsize = 1 })
      q:put(1)
      assert.same({ false, "full" }, { q:put(2, 0) })
    end)
  end)

  it("counts its messages exactly", function()
    local q <close> = mproc.Queue()
    assert.is_true(q:empty())
    assert.is_false(q:full())
    for i = 1, 1000 do
      q:put(i % 100 == 0 and ("x"):rep(50000) or i)
      assert.equal(i, q:qsize())
    end
    assert.is_false(q:empty())
    for i = 999, 0, -1 do
      q:get(0)
      assert.equal(i, q:qsize())
    end
    assert.is_true(q:empty())
  end)

  describe("moves batches", function()
    it("in order", function()
      local q <close> = mproc.Queue()
      assert.equal(3, q:put_many({ "a", "b", "c" }))
      assert.equal(3, q:qsize())
      assert.same({ "a", "b", n = 2 }, q:get_many(2))
      assert.same({ "c", n = 1 }, q:get_many(10))
      assert.same({ nil, "empty" }, { q:get_many(10, 0) })
      assert.equal(0, q:put_many({}))
    end)

    it("with nils", function()
      local q <close> = mproc.Queue()
      assert.equal(4, q:put_many({ nil, 2, nil, nil, n = 4 }))
      local back = q:get_many(9, 0)
      assert.equal(4, back.n)
      assert.same({ nil, 2, nil, nil, n = 4 }, back)
    end)

    it("as far as a maxsize lets them", function()
      local q <close> = mproc.Queue(2)
      assert.equal(2, (q:put_many({ 1, 2, 3 }, 0)))
      assert.same({ 1, 2, n = 2 }, q:get_many(5, 0))
    end)

    it("not at all when one cannot travel", function()
      local q <close> = mproc.Queue()
      blame.call("file", q.put_many, q, { 1, 2, io.stdout })
      assert.equal(0, q:qsize())
    end)

    it("names the item that cannot travel, however far down", function()
      local q <close> = mproc.Queue()
      for _, at in ipairs({ 1, 9, 10, 12345 }) do
        local list = {}
        for i = 1, at do
          list[i] = i
        end
        list[at] = io.stdout
        blame.call(("list[%d]"):format(at), q.put_many, q, list)
      end
    end)
  end)

  describe("when closed", function()
    it("drains, then says so", function()
      local q = mproc.Queue()
      q:put("last")
      q:put(nil)
      q:close()
      assert.equal("last", q:get())
      local results = table.pack(q:get())
      assert.same({ n = 1 }, results)
      assert.same({ nil, "closed" }, { q:get() })
      assert.same({ nil, "closed" }, { q:get(0) })
      assert.same({ nil, "closed" }, { q:get_many(3) })
    end)

    it("refuses a put and blames its line", function()
      local q = mproc.Queue()
      q:close()
      blame.caller(function() q:put(1) end, "closed")
      blame.call("closed", q.put_many, q, { 1 })
      blame.call("closed", q.put_nowait, q, 1)
    end)

    it("closes again harmlessly", function()
      local q = mproc.Queue()
      q:close()
      q:close()
    end)

    it("by leaving its scope", function()
      local kept
      do
        local q <close> = mproc.Queue()
        q:put(1)
        kept = q
      end
      assert.equal(1, kept:get())
      assert.same({ nil, "closed" }, { kept:get() })
    end)
  end)

  it("is iterated until closed and drained, nils included", function()
    local q = mproc.Queue()
    q:put_many({ "a", nil, "c", n = 3 })
    q:close()
    local seen = { n = 0 }
    for i, v in q:items() do
      seen.n = seen.n + 1
      assert.equal(seen.n, i)
      seen[i] = v
    end
    assert.same({ "a", nil, "c", n = 3 }, seen)
  end)

  describe("given bad input", function()
    it("blames the caller's line", function()
      local q <close> = mproc.Queue()
      blame.caller(function() q:put({ { log = io.stdout } }) end, "cannot send", "[1].log")
      assert.equal(0, q:qsize())
    end)

    it("names what cannot travel", function()
      local q <close> = mproc.Queue()
      q:put("before")
      local odd = setmetatable({}, { __index = {} })
      blame.call("coroutine", q.put, q, coroutine.create(print))
      blame.call("file", q.put, q, { a = { b = { io.stderr } } })
      blame.call("mproc.register", q.put, q, { odd })
      assert.equal(1, q:qsize())
      assert.equal("before", q:get(0))
    end)

    it("refuses wrong arguments", function()
      local q <close> = mproc.Queue()
      q:put(1)
      blame.call("block", q.get, q, true)
      blame.call("block", q.put, q, 1, false)
      blame.call("number", q.get, q, "soon")
      blame.call("number", q.put, q, 1, {})
      blame.call("", q.get_many, q)
      blame.call("", q.get_many, q, -1)
      blame.call("", q.get_many, q, "x")
      blame.call("", q.put_many, q, 1)
      blame.call("", q.get, {})
      blame.call("", q.put, nil, 1)
      assert.equal(1, q:qsize())
      assert.equal(1, q:get(0))
    end)

    it("refuses impossible sizes", function()
      blame.call("maxsize", mproc.Queue, -1)
      blame.call("maxsize", mproc.Queue, 1.5)
      blame.call("maxsize", mproc.Queue, "many")
      blame.call("maxsize", mproc.Queue, { maxsize = -2 })
    end)

    it("refuses a NaN timeout", function()
      local q <close> = mproc.Queue()
      blame.call("timeout", q.get, q, 0 / 0)
    end)
  end)

  describe("with hooks", function()
    local Point = {}
    Point.__index = Point
    Point.__name = "Point"
    function Point.__mproc_encode(p)
      if p.x < 0 then
        error("negative point")
      end
      return { p.x }
    end

    setup(function()
      mproc.register("queue_spec.Point", Point, {
        decode = function(plain)
          if plain[1] == 13 then
            error("unlucky point")
          end
          return setmetatable({ x = plain[1] }, Point)
        end,
      })
    end)

    it("encodes and decodes through them", function()
      local q <close> = mproc.Queue()
      q:put({ setmetatable({ x = 7 }, Point) })
      local back = q:get(0)[1]
      assert.equal(7, back.x)
      assert.equal(Point, getmetatable(back))
    end)

    it("is as it was when an encoder raises", function()
      local q <close> = mproc.Queue()
      q:put("a")
      assert.has_error(function()
        q:put({ 1, 2, setmetatable({ x = -1 }, Point) })
      end)
      assert.equal(1, q:qsize())
      q:put("b")
      assert.same({ "a", "b", n = 2 }, q:get_many(5))
    end)

    it("consumes the message when a decoder raises", function()
      local q <close> = mproc.Queue()
      q:put(setmetatable({ x = 13 }, Point))
      q:put("next")
      local ok, message = pcall(q.get, q)
      assert.is_false(ok)
      assert.truthy(tostring(message):find("unlucky point", 1, true))
      assert.equal("next", q:get(0))
      assert.is_true(q:empty())
    end)

    it("may use the queue it is put into", function()
      local q <close> = mproc.Queue()
      local target = q -- let go below: a registered metatable lives as long as the program
      local Chatty = { __mproc_encode = function(c)
        target:put("said while encoding")
        return { c.n }
      end }
      mproc.register("queue_spec.Chatty", Chatty, { decode = function(t) return t[1] end })
      q:put({ setmetatable({ n = 5 }, Chatty) })
      target = nil
      assert.equal("said while encoding", q:get(0))
      assert.same({ 5 }, q:get(0))
    end)
  end)

  describe("without a reader", function()
    local COUNT = 200000

    it("takes 200,000 messages and gives them back in order", function()
      local q <close> = mproc.Queue()
      for i = 1, COUNT do
        q:put(i)
      end
      assert.equal(COUNT, q:qsize())
      for i = 1, COUNT do
        if q:get(0) ~= i then
          error("out of order at " .. i)
        end
      end
      assert.is_true(q:empty())
    end)

    it("costs no more than the bytes, rounded up to 16, and 16 more; and gives it back", function()
      local stats = require("mproc.core").stats
      local slack = 4 * 1024 * 1024
      local q <close> = mproc.Queue()
      local before = stats().bytes
      for i = 1, COUNT do
        q:put(i)
      end
      local used = stats().bytes - before
      local each = (#mproc.encode(COUNT) + 15) // 16 * 16 + 16
      assert.truthy(used <= COUNT * each + slack, ("%.1f bytes a message"):format(used / COUNT))
      for _ = 1, COUNT do
        q:get(0)
      end
      assert.truthy(stats().bytes - before <= slack, stats().bytes - before .. " bytes stay")
    end)
  end)

  it("is freed by the collector", function()
    local stats = require("mproc.core").stats
    local before = stats().objects
    for _ = 1, 5000 do
      mproc.Queue():put("never read")
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, stats().objects)
  end)

  it("exists ten thousand times at once", function()
    local all = {}
    for i = 1, 10000 do
      all[i] = mproc.Queue()
      all[i]:put(i)
    end
    for i = 1, 10000 do
      assert.equal(i, all[i]:get(0))
    end
  end)
end)

describe("a simple queue", function()
  leaks.watch()

  it("puts, gets, tells whether it is empty, and closes", function()
    local q = mproc.SimpleQueue()
    assert.is_true(q:empty())
    q:put({ 1, "two" })
    q:put(nil)
    assert.is_false(q:empty())
    assert.same({ 1, "two" }, q:get())
    assert.is_nil((q:get()))
    assert.is_true(q:empty())
    q:close()
    assert.has_error(function()
      q:put(1)
    end)
    assert.same({ nil, "closed" }, { q:get() })
  end)

  it("closes with its scope", function()
    local q <close> = mproc.SimpleQueue()
    assert.truthy(tostring(q):find("Queue"))
  end)
end)
