-- SPDX-License-Identifier: MIT
-- No memory, at each allocation in turn: the shield can be used again, and an inbox has lost nothing.

local core = require("mproc.core")
local failalloc = require("failalloc")
local leaks = require("spec.support.leaks")
local protocol = require("mproc.pool.protocol")

local pack = table.pack

-- Calls f() with the nth allocation failing, and all later ones, for n = 1, 2 … until none has failed. check(ok, ...)
-- gets what pcall says.
local function each_allocation(f, check)
  for n = 1, 500 do
    local failed, ok, result = failalloc.after(n, f)
    check(ok, result)
    if not failed then
      return n
    end
  end
  error("there is no end of allocations")
end

describe("without memory", function()
  leaks.watch()

  it("a shielded function raises, or has done its work", function()
    local f = core.shield(function(user, ...)
      local got = pack(core.outside(user, ...))
      return got.n, table.unpack(got, 1, got.n)
    end)
    local function user(a)
      return { a }, ("x"):rep(10)
    end
    local tries = each_allocation(function() return (f(user, 1)) end, function(ok, result)
      assert.is_true(ok and (result == 3 or result == 2) or result == "not enough memory")
    end)
    assert.is_true(tries > 2)
    for _ = 1, 20 do
      assert.equal(3, (f(user, 1)))
    end
  end)

  it("a shield is made, or not", function()
    each_allocation(function()
      local f = core.shield(function(...) return ... end)
      return f(f(f(5)))
    end, function(ok, result)
      assert.is_true(ok and result == 5 or result == "not enough memory")
    end)
  end)

  it("an inbox keeps its message", function()
    local queue = core.queue(0, "reports")
    for _, value in ipairs({ 5, ("x"):rep(100), { 1, { 2 } }, ("y"):rep(100000) }) do
      each_allocation(function()
        local inbox = protocol.inbox(queue)
        if queue:empty() then
          protocol.post(queue, 1, 0, protocol.DONE, 1, 1, 0, "result", value)
        end
        return inbox
      end, function() end)
      local inbox = protocol.inbox(queue)
      local last
      each_allocation(function()
        local generation, _, _, _, _, _, _, _, ok, got = protocol.receive(inbox, 0)
        last = ok and got or nil
        return generation
      end, function(ok, result)
        assert.is_true(ok and math.type(result) == "integer" or result == "not enough memory", tostring(result))
      end)
      assert.same(value, last)
      assert.equal(1, protocol.pending(inbox))
      assert.is_true(protocol.done(inbox, (protocol.receive(inbox, 0))))
      assert.is_nil((protocol.receive(inbox, 0)))
    end
  end)

  it("a message of many pieces is sent whole, or not at all", function()
    local queue = core.queue(0, "reports")
    local inbox = protocol.inbox(queue)
    local values = {}
    for i = 1, 40 do
      values[i] = tostring(i):rep(3000) -- long strings are pieces of their own
    end
    each_allocation(function()
      return (protocol.post(queue, 1, 0, protocol.DONE, 1, 1, 0, "result", values))
    end, function(ok, result)
      assert.is_true(ok or result == "not enough memory", tostring(result))
      assert.equal(0, core.scratch_used())
    end)
    local generation = protocol.receive(inbox, 0)
    assert.same(values, (select(10, protocol.receive(inbox, 0))))
    protocol.done(inbox, generation)
    assert.is_nil((protocol.receive(inbox, 0)))
  end)

  it("absorbing results notes each once", function()
    local queue = core.queue(0, "reports")
    local inbox = protocol.inbox(queue)
    local values = {}
    local job = { plain = true, ended = false, values = values, arrived = 0, arrivals = {}, arrivals_to = 0 }
    local chunk = { job = job, base = 0, count = 41, left = 41, next = 0, reported = false }
    local book = { chunks = { chunk }, count = 41, done = 0, moves = 0, noting = false }
    for k = 0, 39 do
      protocol.post(queue, 1, k, protocol.DONE, 0, 1, 0, "result", k % 3 == 0 and { k } or k)
    end
    repeat
      each_allocation(function() return (protocol.absorb(inbox, book)) end, function(ok, result)
        assert.is_true(ok and math.type(result) == "integer" or result == "not enough memory", tostring(result))
        assert.same({ chunk.next, 41 - chunk.next, 41 - chunk.next, chunk.next, chunk.next },
          { job.arrived, chunk.left, book.count, book.done, job.arrivals_to })
      end)
      local generation, _, offset, _, _, _, _, _, ok, value = protocol.receive(inbox, 0)
      if generation and not ok and value == "not enough memory" then
        error("it was decoded too early")
      elseif generation then -- decoding it has failed inside, and it stays
        assert.equal(chunk.next, offset)
      end
    until chunk.next == 40
    for k = 0, 39 do
      assert.same(k % 3 == 0 and { k } or k, values[k + 1])
      assert.equal(k + 1, job.arrivals[k + 1])
    end
    assert.equal(0, protocol.pending(inbox))
  end)
end)
