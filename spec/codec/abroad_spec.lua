-- SPDX-License-Identifier: MIT
-- encode and decode with { abroad = true }: values for and from another machine.
local mproc = require "mproc"

local ABROAD = { abroad = true }

local function encode(v)
  return mproc.encode(v, ABROAD)
end

local function decode(bytes)
  return mproc.decode(bytes, ABROAD)
end

local function refused(v)
  local ok, message = pcall(encode, v)
  assert.is_false(ok)
  return (tostring(message):gsub("^[^ ]*: ", ""))
end

describe("values for another machine", function()
  it("are what they are here", function()
    local shared = { 1, 2 }
    local v = { 1, 2.5, "text", ("long"):rep(300), { a = shared, b = shared }, true, n = 6 }
    local back = decode(encode(v))
    assert.same(v, back)
    assert.equal(back[5].a, back[5].b)
    for _, each in ipairs { 1, -0.5, "", ("x"):rep(5000), true } do
      assert.equal(each, decode(encode(each)))
      assert.equal(mproc.encode(each), encode(each))
    end
  end)

  it("may have a metatable with a name", function()
    local mt = { __index = { kind = "point" } }
    mproc.register("spec.abroad.Point", mt)
    assert.equal("point", decode(encode(setmetatable({}, mt))).kind)
  end)

  it("are no mproc objects, which a message says with the path", function()
    local made = {
      queue = mproc.Queue(), event = mproc.Event(), lock = mproc.Lock(), array = mproc.Array("int8", 2),
      dict = mproc.Dict(), connection = (mproc.Pipe()), list = mproc.List(), semaphore = mproc.Semaphore(),
    }
    for name, object in pairs(made) do
      local article = name:find("^[aeiou]") and "an" or "a"
      local said = refused({ 1, { [name] = object } })
      assert.equal(("cannot send value[2].%s: %s %s lives in one machine's memory"):format(name, article, name), said)
      assert.truthy(decode(mproc.encode(1)))
    end
  end)

  it("are no functions, with a name or without", function()
    local text = "a function does not travel to another machine; send its name"
    assert.equal("cannot send value.f: " .. text, refused({ f = function() end }))
    assert.equal("cannot send value[1]: " .. text, refused({ string.format }))
    assert.equal("cannot send value: " .. text, refused(print))
  end)

  it("are no objects that a hook or a finalizer makes", function()
    local hooked = { __mproc_encode = function() return 1 end }
    mproc.register("spec.abroad.Hooked", hooked, { decode = function() return "made" end })
    assert.truthy(refused({ x = setmetatable({}, hooked) }):find("^cannot send value%.x: it has a decode hook"))
    local finalized = { __gc = function() end }
    mproc.register("spec.abroad.Finalized", finalized)
    assert.truthy(refused({ x = setmetatable({}, finalized) }):find("^cannot send value%.x: it has a decode hook"))
  end)

  it("leave the encoder as it was when they are refused", function()
    local q = mproc.Queue()
    refused({ q })
    assert.equal(q, mproc.decode(mproc.encode({ q }))[1])
    assert.is_function(mproc.decode(mproc.encode(print), { functions = true }))
  end)
end)

describe("bytes from another machine", function()
  it("make no mproc object and no function", function()
    local v, message = decode(mproc.encode({ mproc.Queue() }))
    assert.is_nil(v)
    assert.truthy(message:find("lives in one machine's memory", 1, true))
    for _, f in ipairs { print, function() end } do
      v, message = decode(mproc.encode({ f }))
      assert.is_nil(v)
      assert.truthy(message:find("it contains a function; what comes from another machine has none", 1, true), message)
      assert.is_nil(message:find("functions = true", 1, true))
    end
  end)

  it("run no decode hook", function()
    local ran = false
    local hooked = { __mproc_encode = function() return 1 end }
    mproc.register("spec.abroad.Other", hooked, { decode = function() ran = true end })
    local v, message = decode(mproc.encode(setmetatable({}, hooked)))
    assert.is_nil(v)
    assert.matches("that a function must make; what comes from another machine has none", message, 1, true)
    assert.is_false(ran)
  end)
end)

describe("the options of encode and decode", function()
  it("are checked", function()
    assert.error_matches(function() mproc.encode(1, { abrod = true }) end, "unknown option 'abrod'")
    assert.error_matches(function() mproc.encode(1, true) end, "table expected")
    assert.error_matches(function() mproc.decode("", { abroad = true, functions = true }) end, "has no functions")
    assert.equal(mproc.encode({ 1 }), mproc.encode({ 1 }, nil))
    assert.equal(mproc.encode({ 1 }), mproc.encode({ 1 }, {}))
  end)
end)
