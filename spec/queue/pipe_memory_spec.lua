-- SPDX-License-Identifier: MIT
-- Lua's allocator fails at every request of a pipe's calls in turn: nothing is lost, half sent or left open.

local failalloc = require("failalloc")
local leaks = require("spec.support.leaks")
local core = require("mproc.core")
local mproc = require("mproc")

local MOST_REQUESTS = 10000

-- Calls f with its nth allocation failing, for n = 1, 2, … until none is left to fail; check(ok) after each.
local function at_every_request(f, check)
  for n = 1, MOST_REQUESTS do
    collectgarbage()
    local failed, ok = failalloc.after(n, f)
    if not failed then
      return n - 1
    end
    check(ok)
    assert.equal(0, core.scratch_used())
  end
  error("it never stopped asking for memory")
end

describe("with failing allocations, a pipe", function()
  leaks.watch()

  it("is made with both ends or with none", function()
    local before = core.stats().objects
    local tried = at_every_request(function() local _ = mproc.Pipe() end, function(ok)
      assert.is_false(ok)
      collectgarbage()
      assert.equal(before, core.stats().objects)
    end)
    assert.is_true(tried > 0)
  end)

  it("sends all or nothing", function()
    local a, b = mproc.Pipe()
    local value = { ("x"):rep(600), { 1, 2, 3 }, { a = true } }
    at_every_request(function() a:send(value) end, function(ok)
      assert.equal(ok, (b:poll()))
      if ok then b:recv() end
    end)
    assert.same(value, b:recv(0))
    assert.is_false((b:poll()))
  end)

  it("loses no message when recv and recv_bytes fail", function()
    local a, b = mproc.Pipe()
    local texts = { ("y"):rep(2000), ("z"):rep(100000) }
    for _, text in ipairs(texts) do
      a:send({ text })
      a:send_bytes(text)
      local got
      local tried = at_every_request(function() got = b:recv(0) end, function(ok) assert.is_false(ok) end)
      assert.is_true(tried > 0)
      assert.same({ text }, got)
      got = nil -- luacheck: ignore 311
      tried = at_every_request(function() got = b:recv_bytes(#text, 0) end, function(ok) assert.is_false(ok) end)
      assert.is_true(tried > 0)
      assert.equal(text, got)
    end
  end)

  it("keeps an end in a message open when recv fails", function()
    local a, b = mproc.Pipe()
    local near, far = mproc.Pipe()
    a:send({ far })
    far:close()
    local got
    at_every_request(function() got = b:recv(0) end, function(ok)
      assert.is_false(ok)
      assert.is_true(near:send("still there"))
    end)
    assert.equal("still there", got[1]:recv(0))
  end)

  it("is closed all the same", function()
    local a, b
    at_every_request(function()
      a, b = mproc.Pipe()
      a:close()
      assert(select(2, b:recv()) == "closed")
    end, function(ok) assert.is_false(ok) end)
    b:close()
  end)
end)
