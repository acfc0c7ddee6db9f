-- SPDX-License-Identifier: MIT
-- Lua's allocator fails at every request in turn: no message is lost, none is half put, nothing leaks.

local failalloc = require("failalloc")
local leaks = require("spec.support.leaks")
local core = require("mproc.core")
local mproc = require("mproc")

local MOST_REQUESTS = 10000

-- Calls f with its nth allocation failing, for n = 1, 2, … until none is left to fail; check(ok, ...) after each.
local function at_every_request(f, check)
  for n = 1, MOST_REQUESTS do
    collectgarbage()
    local result = table.pack(failalloc.after(n, f))
    if not result[1] then
      return n - 1
    end
    check(table.unpack(result, 2, result.n))
    assert.equal(0, core.scratch_used())
  end
  error("it never stopped asking for memory")
end

local function record()
  return { id = 1, name = "somebody", tags = { 1, 2, 3 }, text = ("x"):rep(600) }
end

local values = {
  ["a short string"] = function() return "hello" end,
  ["a string of 1 KiB"] = function() return ("y"):rep(1024) end,
  ["a string in a large message"] = function() return ("z"):rep(100000) end,
  ["a record"] = record,
  ["a closure"] = function() local up = { 7 } return function() return up end end,
}

describe("with failing allocations", function()
  leaks.watch()

  for name, make in pairs(values) do
    it("put of " .. name .. " puts all or nothing", function()
      local q <close> = mproc.Queue()
      local value = make()
      local function put() return q:put(value) end
      local tried = at_every_request(put, function(ok)
        assert.equal(ok and 1 or 0, q:qsize())
        if ok then q:get() end
      end)
      assert.is_true(tried >= 0)
      assert.equal(1, q:qsize())
      assert.equal(type(value), type(q:get(0)))
    end)

    it("get of " .. name .. " leaves the message there when it fails", function()
      local q <close> = mproc.Queue()
      q:put(make())
      q:put("after it")
      local function get() return q:get(0) end
      local tried = at_every_request(get, function(ok)
        if ok then -- it can do with less memory: put back what was taken, in front of the other
          local other = q:get(0)
          q:put(make())
          q:put(other)
        end
        assert.equal(2, q:qsize())
      end)
      assert.is_true(tried > 0 or name == "a short string") -- it may stand in Lua's string table already
      assert.equal(1, q:qsize())
      assert.equal("after it", q:get(0))
    end)
  end

  it("a queue in a message stays reachable when get fails", function()
    local outer <close> = mproc.Queue()
    do
      local inner = mproc.Queue()
      inner:put("inside")
      outer:put({ inner })
    end
    collectgarbage()
    local got
    at_every_request(function() got = outer:get(0) end, function(ok)
      assert.is_false(ok)
      assert.equal(1, outer:qsize())
    end)
    assert.equal("inside", got[1]:get(0))
  end)

  it("put_many puts none when an item cannot be encoded for want of memory", function()
    local q <close> = mproc.Queue()
    local list = { 1, ("x"):rep(2000), record(), "four" }
    at_every_request(function() return q:put_many(list) end, function(ok)
      assert.is_false(ok)
      assert.equal(0, q:qsize())
    end)
    assert.equal(4, q:qsize())
  end)

  it("get_many loses nothing", function()
    local q <close> = mproc.Queue()
    local count = 40
    for i = 1, count do q:put({ i }) end
    local seen = 0
    local function take(list)
      for i = 1, list.n do
        seen = seen + 1
        assert.equal(seen, list[i][1])
      end
    end
    for n = 1, MOST_REQUESTS do
      collectgarbage()
      local failed, ok, list = failalloc.after(n, function() return q:get_many(count, 0) end)
      if ok and list then take(list) end
      assert.equal(count - seen, q:qsize())
      if not failed or seen == count then break end
    end
    assert.equal(count, seen)
  end)

  it("a queue that could not be made leaves no object", function()
    local before = core.stats().objects
    at_every_request(function() local _ = mproc.Queue() end, function(ok)
      assert.is_false(ok)
    end)
    collectgarbage()
    assert.equal(before, core.stats().objects)
  end)
end)
