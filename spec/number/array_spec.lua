-- SPDX-License-Identifier: MIT
-- mproc.Array: shared numbers by index, copies of many at once, bytes, its lock.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local program = require("spec.support.program")
local stats = require("mproc.core").stats

local TYPES = { "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "integer", "number", "float",
  "double" }

describe("an array", function()
  leaks.watch()

  local start, finish = children.start, children.finish

  describe("of each type", function()
    it("is made of zeroes, or of a list", function()
      for _, name in ipairs(TYPES) do
        assert.same({ 0, 0, 0 }, mproc.Array(name, 3):totable())
        assert.same({ 3, 2, 1 }, mproc.Array(name, { 3, 2.0, 1 }):totable())
      end
      assert.same({ false, false }, mproc.Array("boolean", 2):totable())
      assert.same({ true, false, true }, mproc.Array("boolean", { true, false, true }):totable())
    end)

    it("is read and written by index", function()
      for _, name in ipairs(TYPES) do
        local a = mproc.Array(name, 5)
        for i = 1, #a do
          a[i] = i * 10
        end
        assert.equal(30, a[3])
        assert.equal(30, a[3.0])
        a[3.0] = 31.0
        assert.same({ 10, 20, 31, 40, 50 }, a:totable())
        blame.caller(function() a[2] = "7" end, "value", name, "tonumber")
        blame.caller(function() a[2] = nil end, "value", name)
        assert.equal(20, a[2])
      end
    end)

    it("tells its type and length", function()
      for _, name in ipairs(TYPES) do
        local text = tostring(mproc.Array(name, 12))
        assert.truthy(text:find("^Array %d+: 12 of " .. name .. "$"), text)
      end
    end)

    it("comes zeroed, whatever the memory held before", function()
      for _, n in ipairs({ 1, 500, 4096, 70000, 300000 }) do
        for _ = 1, 3 do
          local a = mproc.Array("uint8", n)
          assert.equal(("\0"):rep(n), a:bytes())
          a:fill(255)
          a = nil -- luacheck: ignore
          collectgarbage()
          collectgarbage()
        end
      end
      for _ = 1, 3 do
        local a = mproc.Array("double", 1 << 18)
        assert.equal(0, a[1])
        assert.equal(0, a[#a])
        local sum = 0
        for _, x in ipairs(a:totable()) do
          sum = sum + math.abs(x)
        end
        assert.equal(0, sum)
        a:fill(-1)
        a = nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
      end
    end)
  end)

  describe("outside of its elements", function()
    local a
    before_each(function()
      a = mproc.Array("int32", { 1, 2, 3 })
    end)
    after_each(function()
      a = nil
    end)

    it("reads nil", function()
      for _, key in ipairs({ 0, -1, 4, 1.5, 1 / 0, 0 / 0, math.maxinteger, math.mininteger, "1", "x", true, {} }) do
        assert.is_nil(a[key])
      end
    end)

    it("refuses to write", function()
      for _, key in ipairs({ 0, -1, 4, 1.5, 1 / 0, math.maxinteger, math.mininteger, "1", "x", true }) do
        blame.caller(function() a[key] = 5 end, "index", "1 to 3")
        blame.caller(function() a:add(key, 5) end, "index", "1 to 3")
        blame.caller(function() a:exchange(key, 5) end, "index", "1 to 3")
        blame.caller(function() a:compare_exchange(key, 1, 5) end, "index", "1 to 3")
      end
      blame.caller(function() a:add() end, "index")
      assert.same({ 1, 2, 3 }, a:totable())
    end)

    it("of which there are none when it is empty", function()
      local empty = mproc.Array("double", 0)
      assert.equal(0, #empty)
      assert.is_nil(empty[1])
      assert.same({}, empty:totable())
      assert.same({}, empty:sub(1, 5))
      empty:fill(3)
      empty:set(1, {})
      blame.caller(function() empty[1] = 5 end, "empty")
      blame.caller(function() empty:set(1, { 1 }) end, "array of 0")
      assert.equal(0, #mproc.Array("int8", {}))
    end)
  end)

  it("is walked by ipairs", function()
    local seen = {}
    for i, x in ipairs(mproc.Array("int8", { 5, 6, 7 })) do
      seen[i] = x
    end
    assert.same({ 5, 6, 7 }, seen)
  end)

  describe("sub", function()
    it("takes its bounds as string.sub does", function()
      local text = "abcdefgh"
      local a = mproc.Array("uint8", { text:byte(1, -1) })
      local bounds = { math.mininteger, -100, -9, -8, -7, -3, -1, 0, 1, 2, 5, 8, 9, 100, math.maxinteger }
      for _, i in ipairs(bounds) do
        assert.same({ text:sub(i):byte(1, -1) }, a:sub(i))
        for _, j in ipairs(bounds) do
          local expected = text:sub(i, j)
          assert.same({ expected:byte(1, -1) }, a:sub(i, j))
          assert.equal(expected, a:bytes(i, j))
        end
      end
      assert.same({ text:byte(1, -1) }, a:sub())
    end)

    it("refuses bounds that are no integers", function()
      local a = mproc.Array("int8", 3)
      blame.caller(function() a:sub("1") end, "i must be an integer", '"1"')
      blame.caller(function() a:sub(1, 2.5) end, "j must be an integer", "2.5")
      blame.caller(function() a:sub(0 / 0) end, "i must be an integer", "NaN")
    end)
  end)

  describe("set", function()
    it("copies a list to where it is told", function()
      for _, name in ipairs(TYPES) do
        local a = mproc.Array(name, 6)
        a:set(2, { 1, 2.0, 3 })
        a:set(6, { 9 })
        a:set(7, {})
        assert.same({ 0, 1, 2, 3, 0, 9 }, a:totable())
      end
    end)

    it("copies long lists", function()
      for _, name in ipairs(TYPES) do
        local list = {}
        for i = 1, 5000 do
          list[i] = i % 128
        end
        local a = mproc.Array(name, 5001)
        a:set(2, list)
        assert.same(list, a:sub(2))
        assert.same(list, mproc.Array(name, list):totable())
      end
    end)

    it("changes nothing when one element does not fit", function()
      for _, name in ipairs({ "int8", "int16", "uint8", "uint64", "integer", "boolean" }) do
        local first = name == "boolean" and true or 1
        local a = mproc.Array(name, 100)
        local before = a:totable()
        for _, bad in ipairs({ 0.5, "1", 0 / 0, {}, 1e300 }) do
          local list = {}
          for i = 1, 100 do
            list[i] = first
          end
          list[100] = bad
          blame.caller(function() a:set(1, list) end, "list[100]", name)
          blame.caller(function() mproc.Array(name, list) end, "list[100]", name)
        end
        blame.caller(function() a:set(1, { first, n = 2 }) end, "list[2]", "nil")
        assert.same(before, a:totable())
      end
    end)

    it("refuses what does not fit into the array", function()
      local a = mproc.Array("int8", 3)
      blame.caller(function() a:set(2, { 1, 2, 3 }) end, "i", "3 elements", "array of 3")
      for _, i in ipairs({ 0, -1, 5, math.maxinteger, math.mininteger }) do
        blame.caller(function() a:set(i, { 1 }) end, "i", "array of 3")
        blame.caller(function() a:set(i, {}) end, "i", "array of 3")
      end
      blame.caller(function() a:set(1, { n = math.maxinteger }) end, "array of 3")
      blame.caller(function() a:set("1", { 1 }) end, "i must be an integer")
      blame.caller(function() a:set({ 1, 2 }) end, "list must be a table", "nothing")
      blame.caller(function() a:set(1, "abc") end, "list must be a table", '"abc"')
      blame.caller(function() a:set(1, { n = -1 }) end, "list.n")
      blame.caller(function() a:set(1, { n = "3" }) end, "list.n")
      assert.same({ 0, 0, 0 }, a:totable())
    end)

    it("honours n", function()
      local a = mproc.Array("int8", 3)
      a:set(1, { 7, 8, 9, n = 2 })
      assert.same({ 7, 8, 0 }, a:totable())
      assert.equal(3, #mproc.Array("int8", table.pack(1, 2, 3)))
    end)

    it("reads a list through its metatable", function()
      local list = setmetatable({}, {
        __len = function() return 3 end,
        __index = function(_, k) return type(k) == "number" and k * 2 or nil end,
      })
      local a = mproc.Array("int8", list)
      assert.same({ 2, 4, 6 }, a:totable())
      a:fill(0)
      a:set(1, list)
      assert.same({ 2, 4, 6 }, a:totable())
    end)

    it("changes nothing when a metatable's function raises", function()
      local list = setmetatable({}, {
        __len = function() return 3 end,
        __index = function(_, k)
          if k == 3 then
            error("no third", 0)
          end
          return type(k) == "number" and k or nil
        end,
      })
      local a = mproc.Array("int8", 3)
      local ok, message = pcall(a.set, a, 1, list)
      assert.same({ false, "no third" }, { ok, message })
      assert.same({ 0, 0, 0 }, a:totable())
    end)
  end)

  describe("fill", function()
    it("sets all elements", function()
      for _, name in ipairs(TYPES) do
        local a = mproc.Array(name, 1000)
        a:fill(100)
        local sum = 0
        for _, x in ipairs(a) do
          sum = sum + x
        end
        assert.equal(100000, sum)
      end
      local flags = mproc.Array("boolean", 3)
      flags:fill(true)
      assert.same({ true, true, true }, flags:totable())
    end)

    it("refuses what does not fit", function()
      local a = mproc.Array("uint8", 2)
      blame.caller(function() a:fill(256) end, "x", "uint8")
      blame.caller(function() a:fill() end, "x", "uint8")
      assert.same({ 0, 0 }, a:totable())
    end)
  end)

  describe("changes one element atomically with", function()
    it("add, which returns the new value and keeps the range", function()
      local a = mproc.Array("uint8", { 1, 250 })
      assert.equal(255, a:add(2, 5))
      blame.caller(function() a:add(2, 1) end, "n", "uint8", "255")
      blame.caller(function() a:add(1, "2") end, "n", "uint8")
      assert.equal(0, a:add(1, -1))
      assert.same({ 0, 255 }, a:totable())
    end)

    it("exchange and compare_exchange", function()
      local a = mproc.Array("double", { 0.5, 1.5 })
      assert.equal(1.5, a:exchange(2, 2.5))
      assert.same({ false, 2.5 }, { a:compare_exchange(2, 1, 9) })
      assert.same({ true, 2.5 }, { a:compare_exchange(2, 2.5, 9) })
      assert.same({ 0.5, 9 }, a:totable())
      blame.caller(function() a:compare_exchange(1, 0.5) end, "new", "nothing")
      blame.caller(function() a:compare_exchange(1, "0.5", 1) end, "old", "double")
    end)

    it("add from four processes, losing nothing and not touching neighbours", function()
      for _, name in ipairs({ "int16", "uint32", "integer", "double" }) do
        local a = mproc.Array(name, 6)
        children.four(function(i)
          for _ = 1, 5000 do
            a:add(6, 1)
            a:add(i + 1, 1)
          end
        end)
        assert.same({ 0, 5000, 5000, 5000, 5000, 20000 }, a:totable())
      end
    end)
  end)

  describe("of uint8", function()
    it("is read and written as raw bytes", function()
      local every = {}
      for i = 0, 255 do
        every[i + 1] = string.char(i)
      end
      local text = table.concat(every):rep(300)
      local a = mproc.Array("uint8", #text + 2)
      a:set_bytes(2, text)
      assert.equal(text, a:bytes(2, -2))
      assert.equal("\0" .. text .. "\0", a:bytes())
      assert.equal("\0\0\1", a:bytes(1, 3))
      assert.equal("", a:bytes(5, 4))
      assert.equal(255, a[257])
      a:set_bytes(#a + 1, "")
      a:set_bytes(#a, "x")
      assert.equal("x", a:bytes(-1))
    end)

    it("refuses bytes that do not fit, and what are none", function()
      local a = mproc.Array("uint8", 3)
      blame.caller(function() a:set_bytes(2, "abc") end, "3 elements", "array of 3")
      blame.caller(function() a:set_bytes(0, "a") end, "array of 3")
      blame.caller(function() a:set_bytes(-1, "a") end, "array of 3")
      blame.caller(function() a:set_bytes(1, { 65 }) end, "s must be a string", "a table")
      blame.caller(function() a:set_bytes(1, 65) end, "s must be a string", "65")
      blame.caller(function() a:set_bytes("abc") end, "s must be a string", "nothing")
      blame.caller(function() a:bytes("1") end, "i must be an integer")
      assert.equal("\0\0\0", a:bytes())
    end)

    it("alone has bytes", function()
      for _, name in ipairs({ "int8", "boolean", "double" }) do
        local a = mproc.Array(name, 3)
        blame.caller(function() a:bytes() end, "uint8", name, "sub and set")
        blame.caller(function() a:set_bytes(1, "x") end, "uint8", name, "sub and set")
      end
    end)

    it("gives short strings that equal themselves while others write", function()
      local a, stop = mproc.Array("uint8", 8), mproc.Value("boolean")
      local p = start(function()
        while not stop.value do
          a:set_bytes(1, "aaaaaaaa")
          a:set_bytes(1, "bbbbbbbb")
        end
      end)
      for _ = 1, 200000 do
        local s = a:bytes()
        if s ~= string.char(s:byte(1, -1)) then
          stop.value = true
          error("a string was hashed before it changed")
        end
      end
      stop.value = true
      finish(p)
    end)
  end)

  describe("is shared", function()
    it("with children and in messages, together with its lock", function()
      local q, a = mproc.Queue(), mproc.Array("int32", { 1, 2, 3 })
      local p = start(function()
        local got = q:get(20)
        got.lock:with(function()
          got.a:set(1, { 4, 5, 6 })
        end)
        assert(got.a == a and got.lock == a:lock())
      end)
      q:put({ a = a, lock = a:lock() })
      finish(p)
      assert.same({ 4, 5, 6 }, a:totable())
      q:close()
    end)

    it("element by element, never torn", function()
      local a, stop = mproc.Array("int64", 64), mproc.Value("boolean")
      local p = start(function()
        while not stop.value do
          a:fill(-1)
          a:fill(0)
        end
      end)
      local torn
      for _ = 1, 5000 do
        for _, x in ipairs(a:totable()) do
          if x ~= 0 and x ~= -1 then
            torn = x
          end
        end
      end
      stop.value = true
      finish(p)
      assert.is_nil(torn)
    end)

    it("as soon as a flag that was written after it is seen", function()
      local a, turn = mproc.Array("integer", 100), mproc.Value("int32")
      local p = start(function()
        for i = 1, 300 do
          local list = {}
          for k = 1, 100 do
            list[k] = i
          end
          a:set(1, list)
          turn.value = i
          while turn.value == i do end -- luacheck: ignore
        end
      end)
      for i = 1, 300 do
        while turn.value ~= i do end -- luacheck: ignore
        assert(a[1] == i and a[100] == i and a:sub(50, 50)[1] == i)
        turn.value = -i
      end
      finish(p)
    end)

    it("after its last writer was killed in the middle of long copies", function()
      local a, ready = mproc.Array("int32", 200000), mproc.Queue()
      local one, two = a:totable(), a:totable()
      for i = 1, #one do
        one[i], two[i] = 1, 2
      end
      for _ = 1, 10 do
        local p = start(function()
          ready:put(true)
          while true do
            a:set(1, one)
            a:set(1, two)
          end
        end)
        ready:get(20)
        p:kill()
        p:join()
        p:close()
        for _, x in ipairs(a:totable()) do
          if x ~= 0 and x ~= 1 and x ~= 2 then
            error("an element is " .. x)
          end
        end
        assert.is_true(a:lock():acquire(0))
        a:lock():release()
      end
      ready:close()
    end)
  end)

  describe("of 100 MB", function()
    it("costs memory only where it is touched, and gives it back", function()
      local before = stats()
      local a = mproc.Array("double", 13107200)
      a[1], a[#a] = 1, 2
      local p = start(function()
        assert(a[1] == 1 and a[#a] == 2 and a[#a // 2] == 0)
        a[#a // 2] = 3
      end)
      finish(p)
      assert.equal(3, a[#a // 2])
      assert.truthy(stats().used - before.used >= 100 << 20)
      a = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.equal(before.used, stats().used)
    end)

    it("is copied as bytes", function()
      local n = 100 << 20
      local a = mproc.Array("uint8", n)
      local text = ("0123456789abcdef"):rep(n // 16)
      a:set_bytes(1, text)
      assert.is_true(a:bytes() == text)
      assert.equal("f", a:bytes(-1))
    end)
  end)

  describe("refuses", function()
    it("unknown types and lengths", function()
      blame.caller(function() mproc.Array("i", 3) end, "type", '"int32"')
      blame.caller(function() mproc.Array() end, "type", "nothing")
      blame.caller(function() mproc.Array(3, "int8") end, "type", "3")
      for _, n in ipairs({ -1, 2.5, 0 / 0, 1 / 0, "3", true }) do
        blame.caller(function() mproc.Array("int8", n) end, "n must be a count")
      end
      blame.caller(function() mproc.Array("int8") end, "n must be a count", "nothing")
      blame.caller(function() mproc.Array("int8", { 1, 2, 300 }) end, "list[3]", "300", "int8")
      blame.caller(function() mproc.Array("int8", { n = -1 }) end, "list.n")
    end)

    it("more than the arena holds, without raising", function()
      for _, n in ipairs({ math.maxinteger, 1 << 60, 1 << 48 }) do
        for _, name in ipairs({ "int8", "double" }) do
          local a, message, errname = mproc.Array(name, n)
          assert.is_nil(a)
          assert.truthy(message:find("MPROC_ARENA", 1, true))
          assert.equal("ENOMEM", errname)
        end
      end
    end)

    it("another self", function()
      local a, v = mproc.Array("integer", 3), mproc.Value("integer")
      for _, other in ipairs({ v, a:lock(), "text", io.stdout, {} }) do
        for _, method in ipairs({ "sub", "totable", "set", "fill", "add", "exchange", "lock", "bytes" }) do
          assert.has_error(function() a[method](other, 1, 1, 1) end)
        end
        assert.has_error(function() getmetatable(a).__index(other, 1) end)
        assert.has_error(function() getmetatable(a).__newindex(other, 1, 1) end)
        assert.has_error(function() getmetatable(a).__len(other) end)
      end
      assert.equal(0, v.value)
    end)
  end)

  it("fills a small arena and frees it again", function()
    local result = program.text([[
      local mproc = require("mproc")
      for _ = 1, 3 do
        local all, message, name = {}, nil, nil
        repeat
          all[#all + 1], message, name = mproc.Array("uint8", 1000000)
        until message
        assert(name == "ENOMEM" and #all >= 4, #all)
        for i, a in ipairs(all) do
          assert(a:bytes() == ("\0"):rep(1000000), i)
          a:fill(i)
        end
        local bad, why = pcall(mproc.Array, "uint8", { 1, 256 })
        assert(not bad and why:find("list[2]", 1, true), why)
        all = nil
        collectgarbage()
        collectgarbage()
      end
      print("ok")
    ]], { seconds = 20, env = "MPROC_ARENA=16M" })
    assert.equal("ok\n", result.out, result.err)
  end)

  it("whose list was refused leaves nothing behind, before any collection", function()
    local before = stats().objects
    collectgarbage("stop")
    local ok = pcall(mproc.Array, "int8", { 1, 300 })
    local after = stats().objects
    collectgarbage("restart")
    assert.is_false(ok)
    assert.equal(before, after)
  end)
end)
