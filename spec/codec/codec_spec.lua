-- SPDX-License-Identifier: MIT
-- mproc.encode, decode, register, unsendable: values, metatables, what cannot travel, bad bytes.
local mproc = require "mproc"
local core = require "mproc.core"
local codec = require "spec.support.codec"
local program = require "spec.support.program"
local has_failalloc, failalloc = pcall(require, "failalloc")

local trip, assert_trips, list, new_name = codec.trip, codec.assert_trips, codec.list, codec.new_name

after_each(function()
  assert.equal(0, core.scratch_used())
end)

describe("a value that is encoded and decoded", function()
  it("keeps nil and booleans", function()
    assert.is_nil(trip(nil))
    assert.is_true(trip(true))
    assert.is_false(trip(false))
  end)

  it("keeps integers at every width's edge", function()
    for bits = 0, 63 do
      for d = -2, 2 do
        assert_trips((1 << bits) + d)
        assert_trips(-(1 << bits) + d)
      end
    end
    for i = -300, 300 do assert_trips(i) end
  end)

  it("keeps floats bit for bit", function()
    for _, v in ipairs {0.0, -0.0, 1.0, 0.1, 1 / 0, -1 / 0, 5e-324, 1.7976931348623157e308} do
      assert_trips(v)
      assert_trips {v}
    end
    for _, bits in ipairs {0x7ff8000000000000, 0x7ff8dead0000beef, 0xfff8000000000001} do
      local nan = string.unpack("n", string.pack("j", bits))
      assert.equal(bits, (string.unpack("j", string.pack("n", trip(nan)))))
      local run = trip(list(50, function() return nan end))
      assert.equal(bits, (string.unpack("j", string.pack("n", run[50]))))
    end
  end)

  it("keeps strings of every length with any bytes", function()
    for n = 0, 1100 do
      local s = ("\0\255a\n"):rep(n):sub(1, n)
      assert_trips(s)
      assert_trips {s, s, {[s] = s}}
    end
    assert_trips(("x"):rep(1 << 20))
  end)

  it("keeps lists of every length around batches and runs", function()
    for n = 0, 100 do
      assert_trips(list(n, function(i) return i end))
      assert_trips(list(n, function(i) return i + 0.5 end))
      assert_trips(list(n, function(i) return i + 0.0 end))
      assert_trips(list(n, function(i) return i % 3 == 0 and "s" .. i or i end))
      assert_trips(list(n, function(i) return i < n // 2 and i or i + 0.0 end))
      assert_trips(list(n, function(i) return {i} end))
    end
  end)

  it("keeps runs of integers of each width", function()
    for bits = 0, 62 do
      assert_trips(list(64, function(i) return i % 2 == 0 and 1 << bits or -(1 << bits) end))
    end
    assert_trips(list(40, function(i) return i == 39 and math.mininteger or math.maxinteger end))
  end)

  it("keeps a number apart from the string that looks like it", function()
    assert_trips(list(40, function(i) return i == 20 and "1.5" or 1.5 end))
    assert_trips(list(40, function(i) return i == 20 and "7" or 7 end))
    assert_trips(list(40, function(i) return i == 20 and 7.0 or 7 end))
  end)

  it("keeps a million elements", function()
    local t = trip(list(1000000, function(i) return i end))
    assert.equal(1000000, #t)
    assert.equal(777777, t[777777])
    t = trip(list(1000000, function(i) return i / 4 end))
    assert.equal(250000.0, t[1000000])
    t = {}
    for i = 1, 300000 do t["k" .. i] = i end
    t = trip(t)
    for i = 1, 300000 do assert(t["k" .. i] == i) end
  end)

  it("keeps holes", function()
    local t = trip {1, nil, 3, nil, nil, 6}
    assert.same({1, nil, 3, nil, nil, 6}, t)
    t = trip {nil, nil, 3}
    assert.equal(3, t[3])
    assert_trips {[0] = 0, [-1] = -1, [1 << 40] = 1, [3] = 3}
  end)

  it("keeps integer keys wherever Lua holds them", function()
    for size = 0, 70 do
      for fields = 0, 20, 5 do
        local t = {}
        for i = 1, fields do t["f" .. i] = i end
        for i = size, 1, -1 do t[i] = i * 2 end
        for i = 1, fields, 2 do t["f" .. i] = nil end
        assert_trips(t)
        for i = size, size // 2, -1 do t[i] = nil end
        t.late = true
        assert_trips(t)
      end
    end
  end)

  it("keeps keys of every type", function()
    local key = {}
    local t = trip {[1.5] = 1, [true] = 2, [false] = 3, [key] = key, [-7] = 4, [2 ^ 60] = 5, x = 6}
    assert.equal(1, t[1.5])
    assert.equal(2, t[true])
    assert.equal(3, t[false])
    assert.equal(5, t[1 << 60])
    for k, v in pairs(t) do
      if type(k) == "table" then assert.equal(k, v) end
    end
  end)

  it("keeps cycles and shared references", function()
    local t = {name = "t"}
    t.self, t[1], t.list = t, t, {t, {t}}
    t.also = t.list
    local r = trip(t)
    assert.equal(r, r.self)
    assert.equal(r, r[1])
    assert.equal(r, r.list[2][1])
    assert.equal(r.list, r.also)
  end)

  it("keeps many shared references apart", function()
    local parts = list(500, function(i) return {i} end)
    local t = trip {parts, list(500, function(i) return parts[501 - i] end)}
    for i = 1, 500 do assert(t[1][i] == t[2][501 - i] and t[1][i][1] == i) end
  end)

  it("repeats a string by reference", function()
    local long = ("name"):rep(8)
    local once = #mproc.encode {long}
    assert.is_true(#mproc.encode(list(100, function() return long end)) < once + 100 * 4)
    local big = ("b"):rep(5000)
    assert.is_true(#mproc.encode {big, big, big} < 5100)
    assert_trips {big, big .. "1", big, {big .. "1"}}
  end)

  it("repeats keys by reference among thousands of other strings", function()
    local function record(fields)
      return function(i)
        local r = {}
        for f = 1, fields do r["a key of some length " .. f] = "string " .. i .. " of " .. f end
        return r
      end
    end
    for _, fields in ipairs {1, 4, 16, 17, 60} do
      local records = list(300, record(fields))
      assert_trips(records)
      local a_value, a_reference = 1 + #"string 300 of 60", 4
      assert.is_true(#mproc.encode(records) < 300 * (2 + fields * (a_value + 1.5 * a_reference)) + fields * 32)
    end
  end)

  it("finds strings again that were met long before", function()
    local strings = list(5000, function(i) return "string " .. i end)
    assert_trips {strings, strings[1], list(5000, function(i) return strings[5001 - i] end)}
  end)

  it("is a snapshot", function()
    local t = {1}
    local s = mproc.encode(t)
    t[1] = 2
    assert.same({1}, mproc.decode(s))
  end)

  it("is small", function()
    assert.equal(2, #mproc.encode(5))
    assert.is_true(#mproc.encode {id = 1, name = "x", tags = {1, 2, 3}} <= 28)
    assert.is_true(#mproc.encode(list(1000, function(i) return i % 100 end)) < 1020)
  end)
end)

describe("decoding long messages", function()
  local LONG = 2000 -- tables: some hundred KiB of memory

  local function long()
    return mproc.encode(list(LONG, function(i) return {name = "name " .. i, value = i} end))
  end

  -- Programs of their own: how Lua collects depends on what its heap was once.
  for _, mode in ipairs {"generational", "incremental"} do
    for how, call in pairs {
      ["that succeeds"] = "assert(mproc.decode(s))",
      ["that fails"] = "assert(not pcall(mproc.decode, fails, {functions = true}))",
      ["within another"] = "assert(mproc.decode(outer, {functions = true}))",
    } do
      it(how .. " leaves no garbage behind, " .. mode, function()
        local r = program.text(([[
          collectgarbage "%s"
          local mproc = require "mproc"
          local v = {}
          for i = 1, %d do v[i] = {name = "name " .. i, value = i} end
          local s = mproc.encode(v)
          local function object(name, decode)
            local mt = {__mproc_encode = function() return 1 end}
            mproc.register(name, mt, {decode = decode})
            return setmetatable({}, mt)
          end
          local outer = mproc.encode {("x"):rep(5000), object("spec.decodes", function() return #mproc.decode(s) end)}
          v.last = object("spec.fails", function() error "no" end)
          local fails = mproc.encode(v)
          local function f() %s end
          collectgarbage()
          collectgarbage()
          local before, peak = collectgarbage "count", 0
          f()
          local one = collectgarbage "count" - before
          for _ = 1, 100 do
            f()
            peak = math.max(peak, collectgarbage "count" - before)
          end
          local fine = peak < 2 * before + 12 * one
          print(fine and "ok" or ("%%.0f KiB beside %%.0f, %%.0f each time"):format(peak, before, one))
        ]]):format(mode, LONG, call), {seconds = 60})
        assert.equal("ok\n", r.out, r.err)
      end)
    end
  end

  it("runs no collector that was stopped", function()
    local s, collected = long(), false
    collectgarbage "stop"
    setmetatable({}, {__gc = function() collected = true end})
    for _ = 1, 30 do mproc.decode(s) end
    local ran = collectgarbage "isrunning" or collected
    collectgarbage "restart"
    assert.is_false(ran)
  end)

  it("works in a finalizer", function()
    local s, n = long(), nil
    setmetatable({}, {__gc = function() n = #mproc.decode(s) end})
    collectgarbage()
    assert.equal(LONG, n)
  end)
end)

describe("nesting", function()
  local function nested(depth)
    local t = {}
    for _ = 2, depth do t = {t} end
    return t
  end

  it("goes 1000 levels deep", function()
    local t, depth = trip(nested(1000)), 0
    while t do t, depth = t[1], depth + 1 end
    assert.equal(1000, depth)
  end)

  it("is refused beyond", function()
    assert.error_matches(function() mproc.encode(nested(1001)) end,
      "cannot send value%[1%].* %.%.%. .*1000 nested values")
  end)

  it("is refused in bytes, too", function()
    local open = "\9\1\0"
    local value, message = mproc.decode("\xB1" .. open:rep(1000) .. "\9\0\0")
    assert.is_nil(value)
    assert.matches("nested too deep", message)
    assert.is_table(mproc.decode("\xB1" .. open:rep(999) .. "\9\0\0"))
  end)

  it("has the same limit inside a coroutine", function()
    local ok, s = coroutine.wrap(function() return pcall(mproc.encode, nested(1000)) end)()
    assert.is_true(ok)
    assert.is_table(coroutine.wrap(mproc.decode)(s))
  end)
end)

describe("metatables", function()
  it("travel by name when registered", function()
    local mt = {__index = {hello = function() return "hi" end}}
    mproc.register(new_name(), mt)
    local r = trip {setmetatable({1}, mt), setmetatable({2}, mt)}
    assert.equal(mt, getmetatable(r[1]))
    assert.equal(mt, getmetatable(r[2]))
    assert.equal("hi", r[2].hello())
    assert.equal(mt, trip(mt))
    assert.equal(mt, getmetatable(mproc.decode(mproc.encode(setmetatable({}, mt)))))
  end)

  it("may be their own index, in cycles", function()
    local Class = {}
    Class.__index = Class
    mproc.register(new_name(), Class)
    local a = setmetatable({}, Class)
    a.self, a.class = a, Class
    local r = trip(a)
    assert.equal(r, r.self)
    assert.equal(Class, r.class)
    assert.equal(Class, getmetatable(r))
  end)

  it("name mproc.register when they have no name", function()
    assert.error_matches(function() mproc.encode {x = setmetatable({}, {})} end,
      "cannot send value.x: its metatable.*mproc.register")
  end)

  it("keep their name and their finalizer from strangers", function()
    local collected = 0
    local mt = {__gc = function() collected = collected + 1 end}
    mproc.register(new_name(), mt)
    local s = mproc.encode(setmetatable({}, mt))
    assert.is_nil((mproc.decode(s)))
    collectgarbage()
    assert.equal(1, collected)
    assert.is_table(mproc.decode(s, {functions = true}))
  end)

  it("are refused when they or the name are taken", function()
    local name, mt = new_name(), {}
    mproc.register(name, mt)
    mproc.register(name, mt)
    local ok, message = pcall(function() mproc.register(name, {}) end)
    assert.is_false(ok)
    assert.matches("^[^\n]*codec_spec.lua:%d+: another metatable is registered as 'codec_spec", message)
    assert.error_matches(function() mproc.register(new_name(), mt) end, "registered already")
  end)

  it("check their arguments", function()
    assert.error_matches(function() mproc.register(1, {}) end, "bad argument #1")
    assert.error_matches(function() mproc.register("x") end, "bad argument #2")
    assert.error_matches(function() mproc.register("x", {}, {decode = 1}) end, "bad argument #3")
    assert.error_matches(function() mproc.register("x", {}, {decoder = print}) end, "unknown option 'decoder'")
    assert.error_matches(function() mproc.register("x", {}, 1) end, "bad argument #3")
  end)
end)

describe("what cannot travel", function()
  local function refused(v, pattern)
    assert.error_matches(function() mproc.encode(v) end, pattern)
  end

  it("is named by its path", function()
    refused({a = {b = {1, 2, io.stdout}}}, "cannot send value%.a%.b%[3%]: a file belongs to one process; send its name")
    refused({["weird key"] = {io.stdout}}, 'value%["weird key"%]%[1%]')
    refused({[1.5] = {[true] = io.stdout}}, "value%[1%.5%]%[true%]")
    refused({[io.stdout] = 1}, "value%.<key: a userdata>: a file")
    refused({['q"\n'] = io.stdout}, 'value%["q\\"\\010"%]')
    refused({[("k"):rep(100)] = io.stdout}, 'value%["k+%.%.%."%]')
    local file = io.stdout
    refused({f = function() return file end}, "value%.f%.<upvalue file of function at .*codec_spec.lua:%d+>: a file")
    refused(setmetatable({}, {__mproc_encode = function() return {file} end}),
      "value%.<__mproc_encode>%[1%]")
  end)

  it("blames the caller's line", function()
    local ok, message = pcall(function() mproc.encode(io.stdout) end)
    assert.is_false(ok)
    assert.matches("codec_spec.lua:%d+: cannot send value: a file", message)
  end)

  it("says why", function()
    refused(coroutine.create(print), "a coroutine belongs to one process")
    refused(string.gmatch("x", "x"), "a C function travels by name")
    refused(setmetatable({}, {}), "mproc.register")
  end)

  it("is found by unsendable", function()
    assert.is_nil(mproc.unsendable {1, {2}, print})
    local path, reason = mproc.unsendable {x = {io.stdout}}
    assert.equal("value.x[1]", path)
    assert.equal("a file belongs to one process; send its name, or mproc.fd(file)", reason)
    path, reason = mproc.unsendable {h = setmetatable({}, {__mproc_encode = function() error "bang" end})}
    assert.equal("value.h", path)
    assert.matches("__mproc_encode raised: .*bang", reason)
  end)

  it("leaves the next encode as it was", function()
    for _ = 1, 100 do pcall(mproc.encode, {1, 2, {3}, io.stdout}) end
    assert_trips {1, 2, {3}}
  end)

  it("includes no argument at all", function()
    assert.error_matches(function() mproc.encode() end, "bad argument #1")
    assert.error_matches(function() mproc.unsendable() end, "bad argument #1")
  end)
end)

describe("options of decode", function()
  it("that do not exist raise", function()
    assert.error_matches(function() mproc.decode(mproc.encode(1), {function_ = true}) end, "unknown option 'function_'")
    assert.error_matches(function() mproc.decode(mproc.encode(1), {true}) end, "unknown option '1'")
  end)
end)

describe("bad bytes", function()
  local function rich()
    local Point = {}
    mproc.register(new_name(), Point)
    local shared = {1, 2, "three"}
    local n = 1
    return {
      1, -1, 300, 1 << 40, 0.5, true, false, "short", ("long"):rep(20), ("huge"):rep(200),
      list(40, function(i) return i * 1000 end), list(40, function(i) return i / 3 end),
      shared, {shared, "three", "short"}, setmetatable({1}, Point), setmetatable({2}, Point),
      key = {[1.5] = {}, [true] = "three"}, string, lib = math.floor,
      f = function() return n, shared end, g = function() n = n + 1 end,
    }
  end

  local function rejected(s, options)
    local value, message = mproc.decode(s, options)
    assert(value == nil and type(message) == "string")
  end

  it("are a caller's mistake when they are no string", function()
    assert.error_matches(function() mproc.decode(5) end, "bad argument #1 to 'decode' %(string")
    assert.error_matches(function() mproc.decode("", 5) end, "bad argument #2")
  end)

  it("are told from a message", function()
    for _, s in ipairs {"", "x", "hello", "\0", "\27Lua", "\xB1", "\xB3\0"} do rejected(s) end
    assert.matches("not an mproc message", select(2, mproc.decode "hello"))
    assert.matches("version", select(2, mproc.decode "hello"))
  end)

  it("are rejected at every cut and with anything behind", function()
    local s = mproc.encode(rich())
    for i = 0, #s - 1 do rejected(s:sub(1, i), {functions = true}) end
    rejected(s .. "\0", {functions = true})
    assert.is_table(mproc.decode(s, {functions = true}))
  end)

  it("never raise, whatever is changed", function()
    local v = rich()
    v.f, v.g = nil, nil
    local s = mproc.encode(v)
    math.randomseed(42)
    for _ = 1, 50000 do
      local at = math.random(#s)
      local changed = s:sub(1, at - 1) .. string.char(math.random(0, 255)) .. s:sub(at + 1)
      local ok, message = pcall(mproc.decode, changed)
      assert(ok, message)
    end
  end)

  it("never ask for more memory than they could fill", function()
    local function memory(s)
      collectgarbage()
      collectgarbage "stop"
      local before = collectgarbage "count"
      rejected(s)
      local used = collectgarbage "count" - before
      collectgarbage "restart"
      return used
    end
    assert.is_true(memory("\xB1\9\xFF\xFF\xFF\xFF\x7F\0") < 16)
    assert.is_true(memory("\xB1\9\0\xFF") < 16)
    assert.is_true(memory("\xB1\8\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F") < 16)
    local deep = ("\9\xC0\x84\x3D\0"):rep(900)
    assert.is_true(memory("\xB1" .. deep .. ("\0"):rep(1000000)) < 40 * 1024)
  end)
end)

if has_failalloc then
  describe("memory that runs out", function()
    -- Fails at the first, second … request of f, until one run has enough.
    local function at_each_request(f)
      for n = 1, 10000 do
        local failed, ok, message = failalloc.after(n, f)
        assert.equal(0, core.scratch_used())
        if ok then
          if not failed then return end
        else
          assert.equal("not enough memory", message)
        end
      end
      error "it never had enough"
    end

    local function value()
      local Point = {__mproc_encode = function(v) return {v.x, {}} end}
      local n = 0
      return {1, "a", {("x"):rep(600), ("y"):rep(600)}, function() n = n + 1 return n end,
        setmetatable({x = {1, 2}}, Point), print, list(100, function(i) return {i} end)}
    end

    it("loses nothing while encoding", function()
      local v = value()
      at_each_request(function() mproc.encode(v) end)
      assert.is_string(mproc.encode(v))
    end)

    it("loses nothing while a value is refused", function()
      local v = {1, {io.stdout}}
      for n = 1, 200 do
        local _, ok, message = failalloc.after(n, mproc.encode, v)
        assert.is_false(ok)
        assert.is_true(message == "not enough memory" or message:find "a file" ~= nil)
        assert.equal(0, core.scratch_used())
      end
    end)

    it("loses nothing while decoding", function()
      local s = mproc.encode(value())
      at_each_request(function() assert(mproc.decode(s, {functions = true})) end)
    end)

    it("loses nothing while registering", function()
      local mt, name = {}, new_name()
      at_each_request(function() mproc.register(name, mt) end)
      assert.equal(mt, getmetatable(trip(setmetatable({}, mt))))
    end)
  end)
end
