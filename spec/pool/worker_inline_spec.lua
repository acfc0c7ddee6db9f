-- SPDX-License-Identifier: MIT
-- The inline transport of serial pools: post, receive and done as with workers, in one process.

local core = require("mproc.core")
local inline = require("mproc.pool.worker.inline")
local leaks = require("spec.support.leaks")
local protocol = require("mproc.pool.protocol")

local CALL, MAP = protocol.CALL, protocol.MAP
local DONE, RETURNED, FAILED = protocol.DONE, protocol.RETURNED, protocol.FAILED
local SKIPPED, BROKEN = protocol.SKIPPED, protocol.BROKEN

local function new(more)
  local given = { inherited = {}, flags = protocol.flags(), initargs = core.pack({ n = 0 }, "args") }
  for name, value in pairs(more or {}) do
    given[name] = value
  end
  return inline.new(given), given
end

local function task(transport, chunk, f, ...)
  return transport.post(transport.tasks, chunk, 0, CALL, 1, 0, 0, "args", f, ...)
end

local function list(transport, chunk, f, items, flag)
  return transport.post(transport.tasks, chunk, 0, MAP, #items, flag or 0, 0, "items", f, items)
end

-- The next report: { generation, chunk, offset, status, …, values from 10 on }, done; nil when there is none.
local function take(transport)
  local report = table.pack(transport.receive(transport.inbox, 0))
  if report[1] then
    assert(transport.done(transport.inbox, report[1]))
    return report
  end
end

describe("the inline transport", function()
  leaks.watch()

  it("runs a task when its report is asked for, and gives that until it is done", function()
    local t = new()
    local runs = 0
    assert.is_number((task(t, 7, function(...) runs = runs + 1 return ... end, 1, nil)))
    assert.equal(0, runs)
    local report = table.pack(t.receive(t.inbox))
    assert.same({ 7, 0, RETURNED, 1, 1 }, { table.unpack(report, 2, 6) })
    assert.same({ true, table.pack(1, nil) }, { table.unpack(report, 9, report.n) })
    assert.same(report, table.pack(t.receive(t.inbox)))
    assert.equal(1, runs)
    assert.is_true(t.done(t.inbox, report[1]))
    assert.is_false(t.done(t.inbox, report[1]))
    assert.is_nil((t.receive(t.inbox)))
  end)

  it("passes values as they are, objects included", function()
    local t = new()
    local object = setmetatable({}, {})
    task(t, 1, function(x) return x end, object)
    assert.equal(object, take(t)[10][1])
    task(t, 1, function(x) error(x) end, object)
    local report = take(t)
    assert.same({ FAILED, object }, { report[4], report[10] })
    task(t, 1, function() error() end)
    assert.equal("(error object is nil)", take(t)[10])
    task(t, 1, function() error("text", 0) end)
    assert.equal("text", take(t)[10])
  end)

  it("runs lists, and skips what was called off", function()
    local t, given = new()
    list(t, 1, function(x) return x * x end, { 1, 2, 3 })
    assert.same({ 1, 4, 9 }, { take(t)[10], take(t)[10], take(t)[10] })
    local flag = protocol.take_flag(given.flags)
    protocol.cancel(given.flags, flag)
    list(t, 2, print, { 1, 2, 3 }, flag)
    local report = take(t)
    assert.same({ SKIPPED, 3 }, { report[4], report[5] })
  end)

  it("is a worker to its tasks, and to nobody else", function()
    local t = new()
    local seen
    task(t, 1, function() seen = require("mproc.pool.worker.context").current() end)
    take(t)
    assert.equal(1, seen.index)
    assert.is_nil(require("mproc.pool.worker.context").current())
    assert.equal(core.getpid(), seen.pid)
  end)

  it("says once that its initializer failed", function()
    local runs = 0
    local t = new({ initializer = function() runs = runs + 1 error("no database", 0) end })
    list(t, 1, print, { 1, 2 })
    task(t, 2, print)
    local report = take(t)
    assert.same({ BROKEN, "no database" }, { report[4], report[10] })
    assert.is_nil(take(t))
    task(t, 3, print)
    assert.is_nil(take(t))
    assert.equal(1, runs)
    assert.is_nil(require("mproc.pool.worker.context").current())
  end)

  it("fails tasks that its initializer waits for", function()
    local t, got
    t = new({ initializer = function()
      task(t, 9, print)
      got = take(t)
    end })
    task(t, 1, function() return "fine" end)
    assert.equal("fine", take(t)[10][1])
    assert.equal(FAILED, got[4])
    assert.truthy(got[10]:find("cannot run tasks of that pool", 1, true))
  end)

  it("runs tasks inside tasks", function()
    local t = new()
    task(t, 1, function()
      task(t, 2, function() return "inner" end)
      return take(t)[10][1] .. " in outer"
    end)
    local report = take(t)
    assert.same({ 1, "inner in outer" }, { report[2], report[10][1] })
  end)

  it("lets tasks yield in the caller's coroutine when it is shielded", function()
    local t = new()
    local receive = core.shield(function() return take(t) end)
    task(t, 1, function() return coroutine.yield("out") .. " again" end)
    local co = coroutine.wrap(function() return receive()[10][1] end)
    assert.equal("out", co())
    assert.equal("in again", co("in"))
  end)

  it("reports what was left when the coroutine is closed in the middle of it", function()
    local t = new()
    local receive = core.shield(function() return take(t) end)
    list(t, 4, function(x) if x == 2 then coroutine.yield() end return x end, { 1, 2, 3 })
    local co = coroutine.create(receive)
    coroutine.resume(co)
    assert.is_true(coroutine.close(co))
    local reports = { take(t), take(t), take(t) }
    assert.same({ DONE, 1 }, { reports[1][4], reports[1][10] })
    for k = 2, 3 do
      assert.same({ 4, k - 1, FAILED }, { reports[k][2], reports[k][3], reports[k][4] })
      assert.truthy(reports[k][10]:find("was closed", 1, true))
    end
    assert.is_nil(require("mproc.pool.worker.context").current())
    assert.is_nil(take(t))
  end)

  it("runs the finalizer once, at its end", function()
    local runs = 0
    local t = new({ finalizer = function() runs = runs + 1 end })
    task(t, 1, function() return 1 end)
    take(t)
    t:finish()
    t:finish()
    assert.equal(1, runs)
  end)

  it("keeps the reports of a chunk that Ctrl-C has ended, raises, and runs the rest later", function()
    local t = new()
    local catches, handled = core.catches_sigint, true
    finally(function() core.catches_sigint = catches end)
    core.catches_sigint = function() return handled end -- lua.c's handler takes itself away, and raises
    list(t, 3, function(x)
      if x == 2 then
        handled = false
        error("interrupted!", 0)
      end
      return x
    end, { 1, 2, 3 })
    assert.same({ false, "interrupted!" }, { pcall(take, t) })
    local seen = {}
    for report in function() return take(t) end do
      seen[#seen + 1] = { report[4], report[3], report[10] }
    end
    assert.same({ { DONE, 0, 1 }, { FAILED, 1, "interrupted!" }, { protocol.CUT, 2 }, { DONE, 2, 3 } }, seen)
  end)
end)
