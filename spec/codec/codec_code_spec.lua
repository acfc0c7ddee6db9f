-- SPDX-License-Identifier: MIT
-- The codec and code: functions that travel by value or by name, modules, and the hooks of metatables.
local mproc = require "mproc"
local core = require "mproc.core"
local codec = require "spec.support.codec"

local trip, assert_trips, list, new_name = codec.trip, codec.assert_trips, codec.list, codec.new_name

after_each(function()
  assert.equal(0, core.scratch_used())
end)

describe("functions", function()
  it("travel with their upvalues", function()
    local n, t = 5, {7}
    local f = trip(function(x) return x + n + t[1] end)
    n = 100
    assert.equal(13, f(1))
  end)

  it("share upvalues across a message", function()
    local n = 0
    local up, get, other = function() n = n + 1 end, function() return n end, function() return n end
    local r = trip {up, {get}, x = other}
    r[1]()
    r[1]()
    assert.equal(2, r[2][1]())
    assert.equal(2, r.x())
    assert.equal(0, n)
  end)

  it("may be recursive", function()
    local function fact(n) return n <= 1 and 1 or n * fact(n - 1) end
    assert.equal(120, trip(fact)(5))
    local even, odd
    function even(n) return n == 0 or odd(n - 1) end
    function odd(n) return n ~= 0 and even(n - 1) end
    assert.is_true(trip(even)(10))
  end)

  it("meet an upvalue again inside its own value", function()
    local box
    box = {get = function() return box end}
    local r = trip(box)
    assert.equal(r, r.get())
  end)

  it("get the receiver's globals", function()
    local f = trip(function() return _ENV end)
    assert.equal(_G, f())
    local own = load("return _ENV", "=own", "t", _G)
    assert.equal(_G, trip(own)())
    assert.equal("number", trip(function() return type(1) end)())
    assert.equal(_G, trip(_G))
  end)

  it("keep an upvalue that is nil", function()
    local function constant(x) return function() return x end end
    assert.is_nil(trip(constant(nil))())
    local env = trip(load("return x", "=x", "t", {x = 4}))
    assert.equal(4, env())
  end)

  it("keep debug information", function()
    local ok, message = pcall(trip(function() error "here" end))
    assert.is_false(ok)
    assert.matches("codec_code_spec.lua:%d+: here", message)
  end)

  it("travel by name when a module has them", function()
    for _, f in ipairs {print, string.format, table.concat, require, math.floor} do
      assert.equal(f, trip(f))
    end
    assert.equal(string, trip(string))
    assert.same({string, math}, trip {string, math})
    assert.is_true(#mproc.encode(string.format) < 20)
  end)

  it("travel by value when they are globals of the program", function()
    function _G.codec_spec_global() return 5 end
    local s = mproc.encode(_G.codec_spec_global)
    _G.codec_spec_global = nil
    assert.equal(5, mproc.decode(s, {functions = true})())
  end)

  it("are not decoded unless asked", function()
    for _, v in ipairs {function() end, print, {x = {print}}} do
      local value, message = mproc.decode(mproc.encode(v))
      assert.is_nil(value)
      assert.matches("contains a function; pass {functions = true}", message, 1, true)
    end
  end)
end)
describe("modules", function()
  local function with_module(name, module, f)
    package.preload[name] = function() return module end
    local ok, message = pcall(f, require(name))
    package.loaded[name], package.preload[name] = nil, nil
    assert(ok, message)
  end

  it("travel by name as soon as they are required", function()
    local name = new_name()
    with_module(name, {f = function() return 1 end, deep = {1}}, function(m)
      assert.equal(m, trip(m))
      assert.equal(m.f, trip(m.f))
      assert.not_equal(m.deep, trip(m.deep))
      assert.same({m, m.f}, trip {m, m.f})
    end)
  end)

  it("are required by the receiver", function()
    local name, s = new_name(), nil
    with_module(name, {}, function(m) s = mproc.encode(m) end)
    package.preload[name] = function() return {again = true} end
    local value, message = mproc.decode(s)
    assert.is_nil(value)
    assert.matches("needs the module '" .. name, message, 1, true)
    assert.is_true(mproc.decode(s, {functions = true}).again)
    package.loaded[name], package.preload[name] = nil, nil
  end)

  it("raise what require raises", function()
    local name, s = new_name(), nil
    with_module(name, {}, function(m) s = mproc.encode(m) end)
    assert.error_matches(function() mproc.decode(s, {functions = true}) end, "not found")
  end)

  it("travel by value once they are no longer loaded", function()
    local name, kept = new_name(), nil
    with_module(name, {x = 1}, function(m) kept = m end)
    assert.same({x = 1}, trip(kept))
    assert.not_equal(kept, trip(kept))
  end)

  it("are found when they were put into package.loaded by hand", function()
    local name, mt = new_name(), {__index = {}}
    local class = setmetatable({}, mt)
    package.loaded[name] = {Class = mt}
    assert.equal(mt, getmetatable(trip(class)))
    package.loaded[name] = nil
    assert.error_matches(function() mproc.encode(class) end, "mproc.register")
  end)

  it("may be functions, and have a metatable", function()
    with_module(new_name(), function() return 1 end, function(m) assert.equal(m, trip(m)) end)
    local callable = setmetatable({}, {__call = print})
    with_module(new_name(), callable, function(m) assert.equal(m, trip(m)) end)
  end)
end)
describe("hooks", function()
  local function point_class()
    local Point = {}
    Point.__mproc_encode = function(p) return {p.x, p.y} end
    local function decode(plain) return setmetatable({x = plain[1], y = plain[2]}, Point) end
    mproc.register(new_name(), Point, {decode = decode})
    return Point
  end

  it("give and take the plain value", function()
    local Point = point_class()
    local p = setmetatable({x = 1, y = 2, cache = io.stdout}, Point)
    local r = trip {p, p, {p}}
    assert.same({x = 1, y = 2}, {x = r[1].x, y = r[1].y})
    assert.equal(Point, getmetatable(r[1]))
    assert.equal(r[1], r[2])
    assert.equal(r[1], r[3][1])
  end)

  it("may nest", function()
    local Point = point_class()
    local inner = setmetatable({x = 1, y = 2}, Point)
    local r = trip(setmetatable({x = inner, y = inner}, Point))
    assert.equal(r.x, r.y)
    assert.equal(2, r.x.y)
  end)

  it("without a decode hook set the metatable", function()
    local mt = {__mproc_encode = function(v) return {n = v.n} end}
    mproc.register(new_name(), mt)
    local r = trip(setmetatable({n = 1, file = io.stdout}, mt))
    assert.equal(mt, getmetatable(r))
    assert.equal(1, r.n)
  end)

  it("of a nameless metatable give the plain value", function()
    local mt = {__mproc_encode = function(v) return v.n end}
    local a, b = setmetatable({n = "abc"}, mt), setmetatable({n = {1}}, mt)
    local r = trip {a, b, a, b}
    assert.same({"abc", {1}, "abc", {1}}, r)
    assert.equal(r[2], r[4])
  end)

  it("that raise raise from encode, and leave nothing", function()
    local boom = {}
    local mt = {__mproc_encode = function() error(boom) end}
    local bad = {{1, 2, ("x"):rep(2000)}, {deep = setmetatable({}, mt)}}
    local ok, err = pcall(mproc.encode, bad)
    assert.is_false(ok)
    assert.equal(boom, err)
    assert.equal(0, core.scratch_used())
    assert_trips {1, 2}
  end)

  it("that come back to the object are refused", function()
    local mt = {__mproc_encode = function(v) return {v} end}
    assert.error_matches(function() mproc.encode(setmetatable({}, mt)) end, "leads back")
    mt.__mproc_encode = function(v) return v end
    assert.error_matches(function() mproc.encode(setmetatable({}, mt)) end, "leads back")
    mt.__mproc_encode = function() return setmetatable({}, mt) end
    assert.error_matches(function() mproc.encode(setmetatable({}, mt)) end, "1000 nested")
  end)

  it("may encode and decode meanwhile", function()
    local mt = {}
    mt.__mproc_encode = function(v)
      local inner = mproc.encode {v.n, ("y"):rep(3000), list(3000, function(i) return i end)}
      collectgarbage()
      return mproc.decode(inner)
    end
    local r = trip(list(20, function(i) return setmetatable({n = i}, mt) end))
    for i = 1, 20 do
      assert(r[i][1] == i and #r[i][2] == 3000 and r[i][3][3000] == 3000)
    end
  end)

  it("may throw away what was encoded", function()
    local t = {}
    local mt = {__mproc_encode = function(v)
      for i = 1, v.n - 1 do t[i] = false end
      collectgarbage()
      return {v.n}
    end}
    for i = 1, 200 do t[i] = setmetatable({n = i, s = ("s" .. i):rep(200)}, mt) end
    local r = trip(t)
    for i = 1, 200 do assert.equal(i, r[i][1]) end
  end)

  it("do not run without {functions = true}", function()
    local called = 0
    local mt = {__mproc_encode = function() return {} end}
    mproc.register(new_name(), mt, {decode = function() called = called + 1 return {} end})
    local s = mproc.encode(setmetatable({}, mt))
    local value, message = mproc.decode(s)
    assert.is_nil(value)
    assert.matches("pass {functions = true}", message, 1, true)
    assert.equal(0, called)
    assert.is_table(mproc.decode(s, {functions = true}))
  end)

  it("that raise while decoding raise from decode", function()
    local mt = {__mproc_encode = function() return 1 end}
    mproc.register(new_name(), mt, {decode = function() error "no" end})
    local s = mproc.encode(setmetatable({}, mt))
    assert.error_matches(function() mproc.decode(s, {functions = true}) end, "no")
  end)

  it("never put a metatable on what is not theirs", function()
    local mt, name = {__mproc_encode = function() return "text" end}, new_name()
    mproc.register(name, mt)
    assert.equal("text", trip(setmetatable({}, mt)))
    mt.__mproc_encode = function() return string end
    assert.equal(string, trip(setmetatable({}, mt)))
    assert.is_nil(getmetatable(string))
  end)
end)