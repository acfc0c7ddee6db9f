-- SPDX-License-Identifier: MIT
-- Uses that suggest themselves, and were refused or gave something else.

local blame = require("spec.support.blame")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local store = require("spec.support.store")

describe("what suggests itself", function()
  setup(store.warm)
  leaks.watch()

  it("is that # leaves out entries whose time is over", function()
    local default, single = mproc.Dict({ a = 1 }, { ttl = 0.02 }), mproc.Dict({ stays = 1 })
    single:set("goes", 1, 0.02)
    for i = 1, 3000 do
      single[i] = i
    end
    local deadline = mproc.time() + 20
    while (default.a or single.goes) and mproc.time() < deadline do
      mproc.sleep(0.01)
    end
    assert.equal(0, #default)
    assert.equal(3001, #single)
  end)

  it("is that a List extends a List, itself too, and makes one", function()
    local list = mproc.List({ 1, 2 })
    list:extend(list)
    list:extend(mproc.List({ 3 }))
    assert.same({ 1, 2, 1, 2, 3 }, mproc.List(list):totable())
    blame.caller(function() list:extend(mproc.Dict()) end, "list must be a table")
  end)

  it("is that pairs goes through an Array and a view", function()
    local array, block <close> = mproc.Array("int8", { 7, 8 }), mproc.SharedMemory({ size = 2 })
    local seen = {}
    for i, value in pairs(array) do
      seen[i] = value
    end
    for i, value in pairs(block:view("uint8")) do
      seen[i + 2] = value
    end
    assert.same({ 7, 8, 0, 0 }, seen)
  end)

  it("is that mproc.wait takes a Descriptor", function()
    local queue, kept = mproc.Queue(), store.kept()
    do
      local descriptor <close> = mproc.fd(queue)
      local list, word = mproc.wait({ descriptor }, 0)
      assert.same({ {}, "timeout" }, { list, word })
      queue:put(1)
      assert.equal(descriptor, mproc.wait({ descriptor }, 20)[1])
    end
    store.settle(kept)
  end)

  it("is that the iterator of imap can be closed by hand, twice", function()
    local pool <close> = mproc.Pool(1)
    local stream = pool:imap(tostring, { 1, 2, 3 })
    assert.same({ 1, "1" }, { stream() })
    stream:close()
    stream:close()
    assert.is_nil(stream())
  end)

  it("is that an item which cannot travel blames the caller's line", function()
    local pool <close> = mproc.Pool(1)
    blame.caller(function() pool:map(tostring, { 1, io.stdout }) end, "cannot send items[2]: a file belongs to")
  end)

  it("is that a subclass without run() is told of it", function()
    blame.caller(function() mproc.Process:extend()() end, "A subclass may define run()")
  end)

  it("is that sleep names its argument, and a pool the option that was meant", function()
    blame.caller(function() mproc.sleep() end, "seconds must be a number, got nothing")
    blame.caller(function() mproc.sleep("1") end, "seconds must be a number, got \"1\"")
    blame.caller(function() mproc.sleep(0 / 0) end, "seconds must be a number, got NaN")
    blame.caller(function() mproc.Pool({ process = 2 }) end, "unknown option \"process\"; did you mean 'processes'?")
  end)

  it("is that what refuses to travel is told with its path", function()
    local pool <close> = mproc.Pool(1)
    local listener <close> = mproc.Listener()
    local future, queue = pool:submit(tostring, 1), mproc.Queue()
    blame.caller(function() queue:put({ x = { pool } }) end, "cannot send value.x[1]: a pool belongs to")
    blame.caller(function() queue:put(future) end, "cannot send value: a future belongs to")
    blame.caller(function() queue:put({ listener }) end, "cannot send value[1]: a listener belongs to")
    assert.equal("value.p", (mproc.unsendable({ p = pool })))
    local Tired = { __mproc_encode = function() return nil, "it is tired" end }
    blame.caller(function() mproc.encode({ a = setmetatable({}, Tired) }) end, "cannot send value.a: it is tired")
    future:get()
  end)
end)
