-- SPDX-License-Identifier: MIT
-- Parts of the keeper by themselves: what the book says of a job that is called off, and that the owner lives while it
-- takes no results.

local core = require("mproc.core")

local Book = require("mproc.far.redis.keeper.book")
local keys = require("mproc.far.redis.keys")
local lazy = require("mproc.lazy")
local mproc = require("mproc")
local protocol = lazy.load("mproc.pool.protocol")
local sender = require("mproc.far.redis.keeper.sender")
local server = require("redis.spec.support.server")

if not server.there() then
  pending("the book: skipped, there is no redis-server here")
  return
end

-- A chunk of so many items, of which those at the offsets in `got` have their results.
local function new(count, got)
  local ended = false
  local book = Book.new({ results = core.queue(), index = 1 }, function() error("there is room") end)
  local lease = { done = function() ended = true end }
  local chunk = { k = 5, count = count, left = count, bytes = 0, got = got, lease = lease }
  book.chunks[5], book.count = chunk, 1
  return book, chunk, function() return ended end
end

describe("a chunk that is called off", function()
  it("counts as skipped, as far as it has no results, and leaves the book", function()
    for _, row in ipairs({
      { got = false, skipped = { { 0, 4 } } }, { got = { [1] = true, [2] = true }, skipped = { { 0, 1 }, { 3, 1 } } },
    }) do
      local book, chunk, has_ended = new(4, row.got)
      book:skip(chunk)
      local inbox, said = protocol.inbox(book.slot.results), {}
      for i = 1, #row.skipped do
        local generation, k, offset, status, count = protocol.receive(inbox, 5)
        assert.same({ 5, protocol.SKIPPED }, { k, status })
        said[i] = { offset, count }
        protocol.done(inbox, generation)
      end
      assert.same(row.skipped, said)
      assert.is_true(has_ended())
      assert.same({ 0, nil }, { book.count, book.chunks[5] })
    end
  end)
end)

describe("a keeper whose owner takes no results", function()
  it("tells all the same that the owner lives", function()
    local s = server.start()
    local stream = keys.of("spec").result("p")
    s:call("XADD", stream, "*", "hello", 1)
    s:call("PEXPIRE", stream, 5000)
    local out = s:session()
    assert.equal("PONG", out:call(5, "PING"))
    sender.keep_alive({ is_ready = true, pulse_at = 0, doubt_until = 0, out = out, stream = stream })
    local deadline = mproc.time() + 10
    while s:call("PTTL", stream) <= 5000 do
      assert(mproc.time() < deadline, "it was not told")
      mproc.sleep(0.01)
    end
    out:close()
    s:stop()
  end)
end)
