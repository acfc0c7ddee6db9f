-- SPDX-License-Identifier: MIT
-- mproc.Value: one shared number of any type: its ranges, its atomic changes, and who shares it.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local proc = require("spec.support.proc")

local BIG = math.maxinteger
local BELOW_2_64 = 2.0 ^ 64 - 2048 -- the largest float there
local FLOAT_MAX = 3.4028234663852886e38

-- What each type holds at the ends of its range, and what is just outside.
local RANGES = {
  int8 = { ok = { -128, 127 }, out = { -129, 128, 2.0 ^ 63, -1 / 0 } },
  int16 = { ok = { -32768, 32767 }, out = { -32769, 32768 } },
  int32 = { ok = { -2147483648, 2147483647 }, out = { -2147483649, 2147483648 } },
  int64 = { ok = { math.mininteger, BIG, -2.0 ^ 63 }, out = { 2.0 ^ 63, -1e19, 1 / 0 } },
  integer = { ok = { math.mininteger, BIG, -2.0 ^ 63 }, out = { 2.0 ^ 63, -1e19, 1 / 0 } },
  uint8 = { ok = { 0, 255 }, out = { -1, 256, 1e300 } },
  uint16 = { ok = { 0, 65535 }, out = { -1, 65536 } },
  uint32 = { ok = { 0, 4294967295 }, out = { -1, 4294967296 } },
  uint64 = { ok = { 0, BIG, 2.0 ^ 63, BELOW_2_64 }, out = { -1, 2.0 ^ 64, math.mininteger } },
  float = { ok = { -FLOAT_MAX, FLOAT_MAX, 1 / 0, -1 / 0, 0.5 }, out = { 3.5e38, -1e300 } },
  double = { ok = { -1.7e308, 0.1, 1 / 0, 1 << 62 }, out = {} },
  number = { ok = { -1.7e308, 0.1, 1 / 0, 2 ^ 53, 1 << 62 }, out = {} },
}
local INTEGERS = { "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "integer" }
local REALS = { "float", "double", "number" }

describe("a value", function()
  leaks.watch()

  local start, finish, at_once = children.start, children.finish, children.four

  describe("of each type", function()
    it("begins with 0 or false, or with what is given", function()
      for _, list in ipairs({ INTEGERS, REALS }) do
        for _, name in ipairs(list) do
          assert.equal(0, mproc.Value(name).value)
          assert.equal(7, mproc.Value(name, 7).value)
          assert.equal(7, mproc.Value(name, 7.0).value)
        end
      end
      assert.is_false(mproc.Value("boolean").value)
      assert.is_true(mproc.Value("boolean", true).value)
    end)

    it("holds its range exactly and refuses what is just outside", function()
      for name, range in pairs(RANGES) do
        local v = mproc.Value(name)
        for _, x in ipairs(range.ok) do
          v.value = x
          assert.equal(x, v.value)
          assert.equal(x, mproc.Value(name, x).value)
        end
        v.value = 1
        for _, x in ipairs(range.out) do
          blame.caller(function() v.value = x end, "value", name, "use")
          blame.caller(function() v:exchange(x) end, "x", name)
          blame.caller(function() v:compare_exchange(1, x) end, "new", name)
          blame.caller(function() mproc.Value(name, x) end, "initial", name)
          assert.equal(1, v.value)
        end
      end
    end)

    it("counts a float that is whole as an integer, and refuses others", function()
      for _, name in ipairs(INTEGERS) do
        local v = mproc.Value(name, 1)
        v.value = 2.0
        assert.equal("integer", math.type(v.value))
        for _, x in ipairs({ 3.5, 0 / 0, -(0 / 0), 1e-300 }) do
          blame.caller(function() v.value = x end, "value", "whole", name)
          blame.caller(function() v:add(x) end, "n", "whole", name)
        end
        blame.caller(function() v.value = 0 / 0 end, "NaN")
        assert.equal(2, v.value)
      end
    end)

    it("refuses what is no number, with a remedy", function()
      for name in pairs(RANGES) do
        local v = mproc.Value(name, 3)
        blame.caller(function() v.value = "5" end, "value", name, '"5"', "tonumber")
        blame.caller(function() v.value = true end, "value", name, "true", "boolean")
        blame.caller(function() v.value = nil end, "value", name, "nil")
        blame.caller(function() v.value = {} end, "value", name, "a table")
        blame.caller(function() v:add("5") end, "n", name)
        blame.caller(function() v:add() end, "n", name)
        assert.equal(3, v.value)
      end
    end)

    it("tells how it is read and written", function()
      for name in pairs(RANGES) do
        local text = tostring(mproc.Value(name, 5))
        assert.truthy(text:find("^Value %d+: " .. name .. " 5"), text)
      end
    end)
  end)

  describe("of type boolean", function()
    it("holds true and false", function()
      local v = mproc.Value("boolean")
      v.value = true
      assert.is_true(v.value)
      assert.is_true(v:exchange(false))
      assert.same({ false, false }, { v:compare_exchange(true, true) })
      assert.same({ true, false }, { v:compare_exchange(false, true) })
      assert.is_true(v.value)
    end)

    it("refuses numbers and sums", function()
      local v = mproc.Value("boolean")
      blame.caller(function() v.value = 1 end, "value", "true or false", "~=")
      blame.caller(function() v.value = "true" end, "value", "true or false")
      blame.caller(function() v:add(1) end, "boolean", "exchange")
      blame.caller(function() v:add(true) end, "boolean")
      assert.is_false(v.value)
    end)
  end)

  describe("of type number", function()
    local v
    before_each(function()
      v = mproc.Value("number")
    end)
    after_each(function()
      v = nil
    end)

    it("keeps integers and floats apart, as Lua does", function()
      assert.equal("integer", math.type(v.value))
      for _, x in ipairs({ 0, 1, -1, (1 << 50) - 1, -(1 << 50), 0.0, -0.0, 1.0, -1.5, 5e-324, 1 / 0, -1 / 0 }) do
        v.value = x
        assert.equal(x, v.value)
        assert.equal(math.type(x), math.type(v.value))
        assert.equal(tostring(x), tostring(v.value))
      end
      v.value = 0 / 0
      assert.is_true(v.value ~= v.value)
    end)

    it("holds a longer integer as the float that it equals, and refuses one that no float equals", function()
      for _, x in ipairs({ 1 << 50, -(1 << 50) - 1, 1 << 53, math.mininteger, 3 << 60 }) do
        v.value = x
        assert.equal(x, v.value)
      end
      for _, x in ipairs({ (1 << 53) + 1, -(1 << 53) - 1, BIG, math.mininteger + 1 }) do
        blame.caller(function() v.value = x end, "value", "float", "use \"integer\"")
      end
      assert.equal(3 << 60, v.value)
    end)

    it("adds as Lua does", function()
      assert.equal("integer", math.type(v:add(2)))
      assert.equal("float", math.type(v:add(2.0)))
      assert.equal(4.5, v:add(0.5))
      v.value = (1 << 50) - 1
      assert.equal(1 << 50, v:add(1))
      v.value = 1
      blame.caller(function() v:add(1 << 53) end, "n", "number", "integer")
      blame.caller(function() v:add(BIG) end, "n", "number", "integer")
      assert.equal(1, v.value)
    end)
  end)

  describe("of type float", function()
    it("rounds to single precision, sums too", function()
      local v = mproc.Value("float", 0.1)
      assert.equal((string.unpack("<f", string.pack("<f", 0.1))), v.value)
      v.value = (1 << 24) + 1
      assert.equal(1 << 24, v.value)
      assert.equal(1 << 24, v:add(1))
      assert.equal((1 << 24) + 2, v:add(2))
    end)

    it("refuses a sum beyond its range, unless it was infinite", function()
      local v = mproc.Value("float", 3e38)
      blame.caller(function() v:add(3e38) end, "n", "float")
      assert.truthy(v.value < 3.1e38)
      assert.equal(1 / 0, v:add(1 / 0))
      assert.equal(1 / 0, v:add(-3e38))
    end)
  end)

  it("of type double rounds an integer that no float equals, and becomes infinite as Lua does", function()
    local v = mproc.Value("double", (1 << 53) + 1)
    assert.equal(2.0 ^ 53, v.value)
    v.value = 1.7e308
    assert.equal(1 / 0, v:add(1.7e308))
  end)

  it("of type double keeps NaN and -0.0", function()
    local v = mproc.Value("double", 0 / 0)
    assert.is_true(v.value ~= v.value)
    v.value = -0.0
    assert.equal("-0.0", tostring(v.value))
  end)

  it("of type uint64 tells above 2^63 - 1 only what a float says exactly", function()
    local v = mproc.Value("uint64", BIG)
    assert.equal(2.0 ^ 63, v:add(1))
    blame.caller(function() v:add(1) end, "n", "uint64", "integer")
    assert.equal(2.0 ^ 63 + 2048, v:add(2048))
    assert.equal(2.0 ^ 63, v:add(-2048))
    assert.equal(BIG, v:add(-1))
    assert.equal("integer", math.type(v.value))
    v.value = BELOW_2_64
    blame.caller(function() v:add(2048) end, "n", "uint64", "2^64")
    assert.equal(BIG - 2047, v:add(-(2.0 ^ 63)))
    assert.equal(0, v:add(2047 - BIG))
    blame.caller(function() v:add(math.mininteger) end, "n", "uint64", "2^64")
  end)

  describe("add", function()
    it("returns the new value and refuses to leave the range", function()
      for _, name in ipairs({ "int8", "int16", "int32", "uint8", "uint16", "uint32" }) do
        local low, high = RANGES[name].ok[1], RANGES[name].ok[2]
        local v = mproc.Value(name, high)
        for _, n in ipairs({ 1, high + 1, BIG, 1e300, math.mininteger }) do
          blame.caller(function() v:add(n) end, "n", name, "range")
          assert.equal(high, v.value)
        end
        assert.equal(low, v:add(low - high))
        blame.caller(function() v:add(-1) end, "n", name, "range")
        assert.equal(low, v.value)
        assert.equal(low + 5, v:add(5.0))
      end
    end)

    it("wraps an integer and an int64", function()
      for _, name in ipairs({ "integer", "int64" }) do
        local v = mproc.Value(name, BIG)
        assert.equal(math.mininteger, v:add(1))
        assert.equal(BIG, v:add(-1))
        assert.equal(BIG - 1, v:add(-1.0))
        blame.caller(function() v:add(2.0 ^ 63) end, "n", name)
      end
    end)

    it("loses nothing when four processes add 20,000 times each", function()
      for _, name in ipairs({ "integer", "int32", "uint64", "float", "double", "number" }) do
        local v = mproc.Value(name)
        at_once(function()
          for _ = 1, 20000 do
            v:add(1)
          end
        end)
        assert.equal(80000, v.value)
      end
    end)
  end)

  describe("compare_exchange", function()
    it("exchanges when the value equals the old one, and tells the value before", function()
      local v = mproc.Value("int32", 5)
      assert.same({ false, 5 }, { v:compare_exchange(4, 6) })
      assert.same({ true, 5 }, { v:compare_exchange(5.0, 6) })
      assert.equal(6, v.value)
    end)

    it("compares floats by value, and a NaN equals a NaN", function()
      for _, name in ipairs({ "double", "float", "number" }) do
        local v = mproc.Value(name, -0.0)
        assert.is_true((v:compare_exchange(0.0, 0.1)))
        assert.is_true((v:compare_exchange(0.1, 0 / 0)))
        assert.is_false((v:compare_exchange(1, 2)))
        assert.is_true((v:compare_exchange(-(0 / 0), 2)))
        assert.is_true((v:compare_exchange(2, 3.0)))
        assert.is_true((v:compare_exchange(3, 4)))
        assert.equal(4, v.value)
      end
    end)

    it("lets one of four processes win each round", function()
      local v, wins = mproc.Value("int16", 0), mproc.Value("integer")
      at_once(function()
        for round = 0, 4999 do
          if v:compare_exchange(round, round + 1) then
            wins:add(1)
          end
        end
      end)
      assert.equal(5000, v.value)
      assert.equal(5000, wins.value)
    end)
  end)

  it("exchange hands each value to exactly one process", function()
    local v, sum = mproc.Value("uint32"), mproc.Value("integer")
    at_once(function(i)
      for k = 1, 5000 do
        sum:add(v:exchange(i * 10000 + k))
      end
    end)
    local expected = 0
    for i = 1, 4 do
      for k = 1, 5000 do
        expected = expected + i * 10000 + k
      end
    end
    assert.equal(expected, sum.value + v.value)
  end)

  describe("is shared", function()
    it("with a child that inherits it", function()
      local v = mproc.Value("double", 1)
      finish(start(function() v.value = 2.5 end))
      assert.equal(2.5, v.value)
    end)

    it("with a process that gets it in a message, which keeps it alive", function()
      local q, back = mproc.Queue(), mproc.Queue()
      local p = mproc.Process(function()
        local got = q:get(20)
        back:put(got.v:add(1))
        back:put(got)
      end):start()
      q:put({ v = mproc.Value("int8", 41), lock = "none" })
      collectgarbage()
      assert.equal(42, back:get(20))
      local again = back:get(20).v
      finish(p)
      assert.equal(42, again.value)
      q:close()
      back:close()
    end)

    it("together with its lock in one message", function()
      local q <close> = mproc.Queue()
      local v = mproc.Value("integer", 3)
      q:put({ v, v:lock(), v })
      local got = q:get(0)
      assert.equal(v, got[1])
      assert.equal(v:lock(), got[2])
      assert.equal(3, got[3].value)
    end)

    it("after the one that changes it was killed at any moment", function()
      local v, ready = mproc.Value("int32"), mproc.Queue()
      local p = mproc.Process(function()
        ready:put(true)
        while true do
          v:update(function(old) return old + 1 end)
        end
      end):start()
      ready:get(20)
      proc.until_true(function() return v.value > 1000 end, "1000 updates")
      p:kill()
      p:join()
      p:close()
      local at = v.value
      assert.equal(at + 1, v:update(function(old) return old + 1 end))
      ready:close()
    end)
  end)

  describe("refuses", function()
    it("unknown types, and says what a Python user means", function()
      blame.caller(function() mproc.Value("i") end, "type", '"i"', '"int32"')
      blame.caller(function() mproc.Value("d") end, "type", '"d"', '"double"')
      blame.caller(function() mproc.Value("string") end, "type", '"string"', '"boolean"', '"uint64"', '"number"')
      blame.caller(function() mproc.Value() end, "type", "nothing")
      blame.caller(function() mproc.Value(5) end, "type", "5")
      blame.caller(function() mproc.Value({}) end, "type", "a table")
    end)

    it("other fields", function()
      local v = mproc.Value("integer")
      blame.caller(function() v.count = 5 end, '"count"', "v.value")
      blame.caller(function() v[1] = 5 end, "1", "v.value")
      assert.is_nil(v.count)
      assert.is_nil(v[1])
    end)

    it("another self", function()
      local v, a = mproc.Value("integer"), mproc.Array("integer", 3)
      for _, other in ipairs({ a, v:lock(), "text", io.stdout, {} }) do
        assert.has_error(function() v.add(other, 1) end)
        assert.has_error(function() v.update(other, print) end)
        assert.has_error(function() v.lock(other) end)
        assert.has_error(function() getmetatable(v).__index(other, "value") end)
        assert.has_error(function() getmetatable(v).__newindex(other, "value", 1) end)
        assert.has_error(function() getmetatable(v).__tostring(other) end)
      end
      assert.has_error(function() v.add() end)
      assert.has_error(function() a.sub(v, 1, 1) end)
      assert.same({ 0, 0, 0 }, a:totable())
    end)
  end)
end)
