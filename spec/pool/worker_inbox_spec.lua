-- SPDX-License-Identifier: MIT
-- A pool's messages and its inbox: what was fetched stays until it is accounted for, whatever runs meanwhile.

local collector = require("spec.support.collector")
local core = require("mproc.core")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local protocol = require("mproc.pool.protocol")
local start_method = require("spec.support.start_method")

local fork_it = start_method.forks and it or pending

local pack = table.pack
local DONE, FAILED = protocol.DONE, protocol.FAILED

local function post(queue, chunk, ...)
  return protocol.post(queue, chunk, 0, DONE, 1, 1, 0, "result", ...)
end

local function new_inbox()
  local queue = core.queue(0, "reports")
  return queue, protocol.inbox(queue)
end

-- A value whose decoding calls hooked.on.
local function nothing() end
local hooked = { on = nothing }
local Hooked = { __mproc_encode = function(v) return { v[1] } end }
mproc.register("spec.inbox.Hooked", Hooked, { decode = function(t) hooked.on() return t[1] end })

describe("a pool's message", function()
  leaks.watch()

  it("has each field of its header, at both ends of its range", function()
    local queue = core.queue(0, "reports")
    local inbox = protocol.inbox(queue)
    for _, head in ipairs({
      { 0, 0, 0, 0, 0, 0 }, { math.maxinteger, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, math.maxinteger },
      { math.mininteger, 1, 2, 3, 4, math.mininteger }, { 1, 1 << 24, FAILED, (1 << 24) + 3, 1 << 31, 1 << 53 },
    }) do
      assert.is_number((protocol.post(queue, head[1], head[2], head[3], head[4], head[5], head[6], "it", "v", nil)))
      local got = pack(protocol.receive(inbox, 0))
      assert.same(head, { table.unpack(got, 2, 7) })
      assert.same(pack(true, "v", nil), pack(table.unpack(got, 9, got.n)))
      assert.is_true(protocol.done(inbox, got[1]))
    end
  end)

  it("refuses what a field cannot hold", function()
    local queue = core.queue()
    for _, bad in ipairs({ -1, 1 << 32, 1 << 61, math.maxinteger }) do
      for field = 2, 5 do
        local head = { 0, 0, 0, 0, 0, 0 }
        head[field] = bad
        local ok, err = pcall(protocol.post, queue, head[1], head[2], head[3], head[4], head[5], head[6], "it")
        assert.is_false(ok)
        assert.truthy(err:find("out of range", 1, true), err)
      end
    end
    assert.equal(0, queue:qsize())
  end)

  it("says what cannot be sent, and where", function()
    local ok, reason = post(core.queue(), 1, { log = io.stdout })
    assert.is_false(ok)
    assert.truthy(reason:find("result.log", 1, true), reason)
  end)
end)

describe("what a single task returned", function()
  leaks.watch()

  it("is one value, a table with n, unless it was asked for", function()
    local queue, inbox = new_inbox()
    for _, values in ipairs({ pack(), pack(nil), pack(1), pack(1, nil, "b", nil), pack({ 1 }, ("x"):rep(50000)) }) do
      protocol.post(queue, 1, 0, protocol.RETURNED, 1, 1, 0, "result", table.unpack(values, 1, values.n))
      local got = pack(protocol.receive(inbox, 0))
      assert.equal(10, got.n)
      assert.same({ true, values }, { got[9], got[10] })
      protocol.done(inbox, got[1])
    end
    post(queue, 1, setmetatable({ "x" }, Hooked))
    local failing = setmetatable({ "x" }, Hooked)
    protocol.post(queue, 1, 0, protocol.RETURNED, 1, 1, 0, "result", failing)
    protocol.done(inbox, (protocol.receive(inbox, 0)))
    hooked.on = function() error("no", 0) end
    local got = pack(protocol.receive(inbox, 0))
    hooked.on = nothing
    assert.same({ false, "no" }, { got[9], got[10] })
    protocol.done(inbox, got[1])
  end)
end)

describe("absorbing results", function()
  leaks.watch()

  local LAST = 9 -- offset of the chunk's last item

  -- A book as pool/owner/inflight.lua keeps it, with one chunk, number 1, of ten items after the fifth.
  local function new_book(more)
    local job = { plain = true, ended = false, values = {}, errors = {}, arrived = 3, arrivals = false }
    for name, value in pairs(more or {}) do
      job[name] = value
    end
    local chunk = { job = job, base = 5, count = 10, left = 10, next = 0, reported = false, cuts = false }
    return { chunks = { chunk }, count = 100, done = 7, moves = 50, noting = false }, chunk, job
  end

  local function item(queue, offset, value, more)
    more = more or {}
    protocol.post(queue, more.chunk or 1, offset, more.kind or DONE, 0, more.slot or 2, more.nanoseconds or 0, "result",
      value)
  end

  it("notes all that follow one another, but the chunk's last", function()
    local queue, inbox = new_inbox()
    local book, chunk, job = new_book()
    for k = 0, LAST do
      item(queue, k, k * 10)
    end
    assert.same({ 9, 2 }, { protocol.absorb(inbox, book) })
    assert.same({ [6] = 0, [7] = 10, [8] = 20, [9] = 30, [10] = 40, [11] = 50, [12] = 60, [13] = 70, [14] = 80 },
      job.values)
    assert.same({ 9, 1, 12, 91, 16, 59 }, { chunk.next, chunk.left, job.arrived, book.count, book.done, book.moves })
    assert.equal(0, (protocol.absorb(inbox, book)))
    local got = pack(protocol.receive(inbox, 0))
    assert.same({ LAST, 90 }, { got[3], got[10] })
    protocol.done(inbox, got[1])
  end)

  it("notes what is nil, and lists arrivals", function()
    local queue, inbox = new_inbox()
    local NIL = {}
    local book, _, job = new_book({ nil_value = NIL, arrivals = { [4] = 77 }, arrivals_to = 4 })
    item(queue, 0, nil)
    item(queue, 1, true)
    assert.equal(2, (protocol.absorb(inbox, book)))
    assert.equal(NIL, job.values[6])
    assert.is_true(job.values[7])
    assert.same({ [4] = 77, [5] = 6, [6] = 7 }, job.arrivals)
    assert.equal(6, job.arrivals_to)
  end)

  it("stops before anything that is not so simple", function()
    for _, case in ipairs({
      { 1, "an item" }, { 0, 1, { kind = FAILED } }, { 0, 1, { nanoseconds = 5 } }, { 0, 1, { chunk = 2 } },
      { 0, 1, { kind = protocol.RETURNED } }, { 0, 1, { kind = protocol.READY } },
    }) do
      local queue, inbox = new_inbox()
      local book, chunk = new_book()
      item(queue, case[1], case[2], case[3])
      assert.equal(0, (protocol.absorb(inbox, book)))
      assert.same({ 0, 10, 100 }, { chunk.next, chunk.left, book.count })
      assert.equal(1, protocol.pending(inbox))
      protocol.done(inbox, (protocol.receive(inbox, 0)))
    end
    for _, change in ipairs({
      function(book) book.noting = {} end, function(_, chunk) chunk.reported = {} end,
      function(_, _, job) job.plain = false end, function(_, _, job) job.ended = true end,
      function(_, chunk) chunk.left = 1 end, function(book) book.chunks = {} end,
    }) do
      local queue, inbox = new_inbox()
      local book, chunk, job = new_book()
      change(book, chunk, job)
      item(queue, 0, 1)
      assert.equal(0, (protocol.absorb(inbox, book)))
      assert.equal(3, job.arrived)
      protocol.done(inbox, (protocol.receive(inbox, 0)))
    end
  end)

  it("stops where the next one is another worker's, or another chunk's", function()
    local queue, inbox = new_inbox()
    local book, chunk = new_book()
    item(queue, 0, "a")
    item(queue, 1, 1)
    item(queue, 2, 2, { slot = 3 })
    item(queue, 0, 2, { chunk = 2 })
    local absorbed = {}
    repeat
      local n, slot = protocol.absorb(inbox, book)
      absorbed[#absorbed + 1] = n .. " of " .. slot
    until n == 0
    assert.same({ "2 of 2", "1 of 3", "0 of 2" }, absorbed)
    assert.equal(3, chunk.next)
    protocol.done(inbox, (protocol.receive(inbox, 0)))
  end)

  it("takes values whose decoding runs the program's code, and looks again at what that has done", function()
    local queue, inbox = new_inbox()
    local book, chunk, job = new_book()
    local acts = {
      nothing,
      function() book.chunks = {} end,
      function() book.chunks[1] = chunk job.ended = true end,
      function() job.ended = false chunk.next = 2 end,
      function() -- another use of the pool takes it first
        hooked.on = nothing
        assert.equal(0, (protocol.absorb(inbox, book)))
        assert(protocol.done(inbox, (protocol.receive(inbox, 0))))
      end,
      function() error("no", 0) end,
    }
    local counts = {}
    for i, act in ipairs(acts) do
      chunk.next = i == 1 and 0 or 1
      item(queue, chunk.next, setmetatable({ "v" .. i }, Hooked))
      hooked.on = act
      counts[i] = (protocol.absorb(inbox, book))
      hooked.on = nothing
      while protocol.pending(inbox) > 0 do
        protocol.done(inbox, (protocol.receive(inbox, 0)))
      end
    end
    assert.same({ 1, 0, 0, 0, 0, 0 }, counts)
    assert.same({ [6] = "v1" }, job.values)
    assert.same({ 4, 9, 99 }, { job.arrived, chunk.left, book.count })
  end)
end)

describe("an inbox", function()
  leaks.watch()

  it("gives a message again until it is done, then the next one", function()
    local queue, inbox = new_inbox()
    post(queue, 1, "a")
    post(queue, 2, "b")
    local first = pack(protocol.receive(inbox, 0))
    assert.same(first, pack(protocol.receive(inbox, 0)))
    assert.equal(1, queue:qsize())
    assert.is_true(protocol.done(inbox, first[1]))
    assert.is_false(protocol.done(inbox, first[1]))
    local second = pack(protocol.receive(inbox, 0))
    assert.equal(2, second[2])
    assert.equal("b", second[10])
    protocol.done(inbox, second[1])
    assert.same(pack(), pack(protocol.receive(inbox, 0)))
    assert.equal(0, protocol.pending(inbox))
  end)

  it("waits no longer than it is told, and ends when nobody will put any more", function()
    local queue, inbox = new_inbox()
    local began = core.time()
    assert.is_nil((protocol.receive(inbox, 0.05)))
    assert.is_true(core.time() - began < 5)
    queue:close()
    assert.is_nil((protocol.receive(inbox)))
  end)

  it("keeps a message whose decoding is torn", function()
    local queue, inbox = new_inbox()
    post(queue, 1, setmetatable({ "whole" }, Hooked))
    hooked.on = function() error("torn", 0) end
    local torn = pack(protocol.receive(inbox, 0))
    assert.same({ false, "torn" }, { torn[9], torn[10] })
    hooked.on = nothing
    assert.equal("whole", (select(10, protocol.receive(inbox, 0))))
    protocol.done(inbox, torn[1])
  end)

  it("gives who uses it inside a decode hook the same message, and drops the outer copy once that is done", function()
    local queue, inbox = new_inbox()
    post(queue, 1, setmetatable({ "first" }, Hooked))
    post(queue, 2, "second")
    local depth, inner = 0, {}
    hooked.on = function()
      depth = depth + 1
      if depth == 1 then
        inner = pack(protocol.receive(inbox, 0))
        inner.done = protocol.done(inbox, inner[1])
      end
    end
    local outer = pack(protocol.receive(inbox, 0))
    hooked.on = nothing
    assert.same({ 1, "first", true }, { inner[2], inner[10], inner.done })
    assert.same({ 2, "second" }, { outer[2], outer[10] })
    protocol.done(inbox, outer[1])
    assert.equal(0, protocol.pending(inbox))
  end)

  it("gives others inside two levels of hooks", function()
    local queue, inbox = new_inbox()
    post(queue, 1, setmetatable({ "first" }, Hooked))
    post(queue, 2, "second")
    local depth, innermost = 0, nil
    hooked.on = function()
      depth = depth + 1
      local got = pack(protocol.receive(inbox, 0))
      innermost = innermost or got
      protocol.done(inbox, got[1])
    end
    assert.is_nil((protocol.receive(inbox, 0))) -- both were done inside
    hooked.on = nothing
    assert.equal(2, depth)
    assert.equal("second", innermost[10])
    assert.equal(0, protocol.pending(inbox))
  end)

  it("finds a finalizer's use of it", function()
    local queue, inbox = new_inbox()
    local message = {}
    for i = 1, 200 do
      message[i] = { i }
    end
    local taken
    post(queue, 1, message)
    local stop = collector.pause(0)
    local garbage = 0
    local function litter()
      setmetatable({}, { __gc = function()
        garbage = garbage + 1
        if not taken then
          taken = pack(protocol.receive(inbox, 0))
          taken.done = protocol.done(inbox, taken[1])
        end
      end })
    end
    litter()
    local deadline = core.time() + 10
    local generation = protocol.receive(inbox, 0)
    while not taken and core.time() < deadline do
      generation = generation or protocol.receive(inbox, 0)
      if not generation then break end
      collectgarbage("step")
    end
    collector.pause(stop)
    assert.is_true(garbage > 0)
    assert.is_true(taken.done)
    assert.is_false(generation and protocol.done(inbox, generation) or false)
    assert.equal(200, #taken[10])
  end)

  it("keeps large messages and handles until they are done, and lets them go with itself", function()
    local queue, inbox = new_inbox()
    local event = mproc.Event()
    post(queue, 1, ("x"):rep(100000), event)
    post(queue, 2, ("y"):rep(100000), event)
    local got = pack(protocol.receive(inbox, 0))
    assert.equal(100000, #got[10])
    got[11]:set()
    assert.is_true(event:is_set())
    protocol.done(inbox, got[1])
    protocol.receive(inbox, 0)
    assert.equal(1, protocol.pending(inbox)) -- dropped with the inbox: leaks.watch looks
  end)

  it("gives what dead workers had, with their pid, until it is done", function()
    local queue = core.queue(0, "reports")
    local orphans = protocol.inbox(queue, "orphans")
    protocol.post(queue, 7, 2, protocol.MAP, 3, 4, 5, "items", { "a", "b", "c" })
    assert.same(pack(), pack(protocol.receive(orphans, 0)))
    local taken = mproc.Event()
    local p = mproc.Process{ daemon = true, target = function()
      local words, flags = protocol.words(), protocol.flags()
      protocol.serve(queue, queue, {}, print, { tasks_done = 0 }, words, flags.array, 1, 1)
      taken:set()
      mproc.sleep(60)
    end }:start()
    assert.is_true(taken:wait(10))
    assert.is_true(protocol.leased(queue, p.pid))
    p:kill()
    p:join()
    local deadline, got = core.time() + 10
    repeat
      got = pack(protocol.receive(orphans, 0))
    until got[1] or core.time() > deadline
    assert.same({ 7, 2, protocol.MAP, 3, 4, 5, p.pid, true, { "a", "b", "c" } }, { table.unpack(got, 2, 10) })
    assert.same(got, pack(protocol.receive(orphans, 0)))
    protocol.done(orphans, got[1])
    assert.is_nil((protocol.receive(orphans, 0)))
    p:close()
  end)
end)

describe("asking for a result", function()
  leaks.watch()

  fork_it("sends nothing while a message is pending, in a fork, or for arguments that are not simple", function()
    -- an inbox is inherited
    local tasks, results = core.queue(), core.queue()
    local inbox = protocol.inbox(results)
    for _, args in ipairs({ 5, { n = 1 }, { a = 1 }, setmetatable({}, {}), { 1, 2, 3, 4, 5, 6, 7, 8, 9 },
      { io.stdout } }) do
      assert.equal(0, select("#", protocol.ask(tasks, inbox, 1, 1, 0, args)))
    end
    post(results, 9, "other")
    local generation = protocol.receive(inbox, 0)
    assert.equal(0, select("#", protocol.ask(tasks, inbox, 1, 1, 0, {})))
    protocol.done(inbox, generation)
    local p = mproc.Process(function() return select("#", protocol.ask(tasks, inbox, 1, 1, 0, {})) end):start()
    assert.equal(0, p:result(10))
    p:close()
    assert.equal(0, tasks:qsize())
  end)

  it("gives its own result, done, or another message, which is not", function()
    local tasks, results = core.queue(), core.queue()
    local inbox = protocol.inbox(results)
    protocol.post(results, 5, 0, protocol.RETURNED, 1, 3, 1234, "result", "a", nil)
    local got = pack(protocol.ask(tasks, inbox, 5, 1, 1, { 1 }))
    assert.same({ true, 3, 1234 }, { got[1], got[2], got[3] })
    assert.same(pack("a", nil), pack(table.unpack(got, 5, got.n)))
    assert.equal(0, protocol.pending(inbox))
    protocol.post(results, 5, 0, FAILED, 1, 3, 0, "error", "bad")
    got = pack(protocol.ask(tasks, inbox, 5, 1, 1, { 1 }))
    assert.same({ false, 5, FAILED, "bad" }, { got[1], got[3], got[5], got[11] })
    assert.is_true(protocol.done(inbox, got[2]))
    assert.same(pack(false), pack(protocol.ask(tasks, inbox, 5, 1, 0, { 1 })))
    assert.equal(3, tasks:qsize())
  end)
end)
