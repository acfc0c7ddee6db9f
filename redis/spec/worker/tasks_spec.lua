-- SPDX-License-Identifier: MIT
-- The worker program: what it runs, and what it answers. Its owner is played by hand.
local mproc = require "mproc"
local core = require "mproc.core"
local message = require "mproc.far.redis.message"
local owner = require "redis.spec.support.owner"
local program = require "redis.spec.support.program"
local server = require "redis.spec.support.server"

if not server.there() then
  pending("worker programs: skipped, there is no redis-server here")
  return
end

local DONE, RETURNED, FAILED = core.pool.DONE, core.pool.RETURNED, core.pool.FAILED

local s, w, o
setup(function()
  s = server.start()
  w = program.start(s.url, "-j 2 --allow 'far_tasks.*' --allow 'far_missing.*' --allow '*.*' --lease 2")
end)
teardown(function()
  w:stop()
  s:stop()
end)
before_each(function() o = owner.new(s) end)
after_each(function() o:vanish() end)

local function first(k, seconds)
  return o:await(seconds)[k][1]
end

describe("a worker program", function()
  it("runs map, starmap and single tasks", function()
    local a = o:map("double", { 1, 2, 3 })
    local b = o:add({ f = "add", verb = "star", n = 2 }, { { 1, 2 }, { 3, 4 } })
    local c = o:call("add", 5, 6)
    assert.same({ 2, 4, 6 }, o:values(a))
    assert.same({ 3, 7 }, o:values(b))
    assert.same({ RETURNED, 11, "second" }, { o.found[c][1].status, table.unpack(o.found[c][1]) })
    assert.equal(DONE, o.found[a][1].status)
    assert.is_true(o.found[a][1].nanoseconds > 0)
  end)

  it("keeps results back that nobody wants, or tells only whether they are true", function()
    local a = o:map("double", { 1 }, { no_result = true })
    local b = o:map("double", { 1 }, { test = true })
    assert.same({}, o:values(a))
    assert.same({ true }, o:values(b))
  end)

  it("gives errors as they were raised, a text with its traceback", function()
    local a = o:map("fail", { 7 })
    local b = o:map("fail_with_table", { 7 })
    local text = first(a)
    assert.equal(FAILED, text.status)
    assert.truthy(text[1]:find("^no 7\nremote traceback of worker %d"))
    assert.same({ code = 7 }, o.found[b][1][1])
  end)

  it("answers for a function that it does not have, with its own name and the function's", function()
    local rows = {
      { "far_tasks.nothing", "module 'far_tasks' has no function 'nothing' there" },
      { "far_tasks.text", "has no function 'text' there" },
      { "far_missing.f", "module 'far_missing' not found" },
      { "os.exit", "no --allow of it matches" },
      { "far_tasks.x.y", "no --allow of it matches" },
      { "load", "no --allow of it matches" },
    }
    for _, row in ipairs(rows) do
      local k = o:add({ f = row[1]:find(".", 1, true) and row[1] or "." .. row[1], n = 2 }, { 1, 2 })
      local one = first(k)
      assert.equal(FAILED, one.status)
      assert.equal("unknown_function", one[1].kind)
      assert.truthy(one[1].message:find(row[2], 1, true), one[1].message)
      assert.truthy(one[1].message:find(row[1], 1, true))
      assert.truthy(one[1].worker:find("^[^:]+:" .. w.pid .. ":%x+$"))
      assert.equal(FAILED, o.found[k][2].status)
    end
  end)

  it("answers for a message of another version, or another way to run", function()
    local a = first(o:map("double", { 1, 2 }, { m = "7zz;later" }))
    local b = first(o:map("double", { 1 }, { m = "1q" }))
    assert.same({ FAILED, "unknown_version" }, { a.status, a[1].kind })
    assert.truthy(a[1].message:find("version 7, and this worker knows version 1", 1, true))
    assert.same({ FAILED, "unknown_version" }, { b.status, b[1].kind })
  end)

  it("makes an error of a result that cannot travel, or is too large", function()
    local a = first(o:map("a_function", { 1 }))
    local b = first(o:map("a_queue", { 1 }))
    local c = o:map("big", { 9 << 20, 3 })
    o:await(20)
    assert.truthy(a[1]:find("cannot send result: a function", 1, true))
    assert.truthy(b[1]:find("cannot send result: a queue lives in one machine's memory", 1, true))
    assert.equal("too_large", o.found[c][1][1].kind)
    assert.truthy(o.found[c][1][1].message:find("9.0 MiB, and a message may have 8", 1, true))
    assert.equal("xxx", o.found[c][2][1])
  end)

  it("runs no code that comes in bytes", function()
    local a = first(o:map("double", {}, { n = 1, bytes = mproc.encode({ print }) }))
    local b = first(o:map("double", {}, { n = 1, bytes = mproc.encode({ mproc.Queue() }) }))
    local c = first(o:map("double", {}, { n = 1, bytes = "rubbish" }))
    for _, each in ipairs { a, b, c } do
      assert.equal(FAILED, each.status)
      assert.truthy(each[1]:find("not an mproc message", 1, true))
    end
  end)

  it("deletes what is no task", function()
    s:call("XADD", o.keys.tasks, "*", "what", "ever")
    assert.same({ 4 }, o:values(o:map("double", { 2 })))
    local deadline = mproc.time() + 5
    while s:call("XLEN", o.keys.tasks) > 0 and mproc.time() < deadline do
      mproc.sleep(0.01)
    end
    assert.equal(0, s:call("XLEN", o.keys.tasks))
  end)

  it("tells tasks who they run in", function()
    local record = first(o:call("worker"))[1]
    assert.truthy(record.name:find(":" .. w.pid .. ":", 1, true))
    assert.equal(1, record.attempt)
  end)

  it("tells of itself", function()
    local k = o:map("double", { 1, 2, 3 })
    o:values(k)
    local info
    local deadline = mproc.time() + 5
    repeat
      mproc.sleep(0.05)
      local all = s:call("HGETALL", o.keys.info)
      for i = 1, #all, 2 do
        info = all[i]:find(":" .. w.pid .. ":", 1, true) and message.read_info(all[i + 1]) or info
      end
    until info and info.done >= 3 and info.trip or mproc.time() > deadline
    assert.equal(2, info.processes)
    assert.is_true(info.done >= 3 and info.prefetch >= 2 and info.busy >= 0)
    assert.is_true(info.trip > 0 and info.trip < 1)
  end)
end)

describe("a process of a worker program that dies", function()
  it("costs its own item alone", function()
    local a = o:map("leave_at_3", { 1, 2, 3, 4 })
    local values = o:values(a)
    assert.same({ 1, 2, 4 }, { values[1], values[2], values[4] })
    local err = o.found[a][3][1]
    assert.same({ FAILED, "worker_died", 7, "far_tasks.leave_at_3" },
      { o.found[a][3].status, err.kind, err.exitcode, err.task })
    assert.truthy(tostring(err):find("with exit code 7, while it ran far_tasks.leave_at_3", 1, true))
    assert.is_true(w:runs())
  end)

  it("is tried again as often as the pool wants", function()
    local path = os.tmpname()
    local a = o:add({ f = "die_until", verb = "call", n = 1, retries = 3 }, path, 2)
    assert.same({ 3 }, o:values(a))
    os.remove(path)
    local b = first(o:add({ f = "die_until", verb = "call", n = 1, retries = 1 }, path, 9))
    assert.same({ "worker_died", 9, 1 }, { b[1].kind, b[1].signal, #b[1].deaths })
    os.remove(path)
  end)

  it("costs its own item alone in a chunk of more items than are parted at once", function()
    local list = {}
    for i = 1, 30000 do
      list[i] = i
    end
    local k = o:map("leave_at_3", list)
    local values = o:values(k, 60)
    assert.equal("worker_died", o.found[k][3][1].kind)
    for i = 1, #list do
      assert.is_true(values[i] == i or i == 3)
    end
  end)

  it("lets the other items go on at once", function()
    local best = math.huge -- of some, for the machine may be busy
    for _ = 1, 10 do
      local k = o:map("leave_at_3", { 3, 1 })
      local began = mproc.time()
      o:values(k)
      best = math.min(best, mproc.time() - began)
    end
    assert.is_true(best < 0.1, best)
  end)
end)

describe("a limit of time", function()
  it("ends an item, and no other", function()
    local k = o:map("sleep", { 0.01, 5, 0.02 }, { timeout = 0.3 })
    o:await()
    assert.same({ 0.01, 0.02 }, { o.found[k][1][1], o.found[k][3][1] })
    local err = o.found[k][2][1]
    assert.same({ "task_timeout", "far_tasks.sleep", 0.3 }, { err.kind, err.task, err.timeout })
    assert.truthy(tostring(err):find("^far_tasks.sleep ran longer than its limit of 0.3 s; its process"))
  end)
end)

describe("an owner that is gone", function()
  it("has its tasks ended and deleted at the next beat", function()
    local path = os.tmpname()
    o:call("mark", path, 30)
    for _ = 1, 6 do
      o:call("mark", path, 30)
    end
    local deadline = mproc.time() + 5
    while #server.output_of("cat " .. path) == 0 and mproc.time() < deadline do
      mproc.sleep(0.01)
    end
    o:vanish()
    while s:call("XLEN", o.keys.tasks) > 0 and mproc.time() < deadline do
      mproc.sleep(0.02)
    end
    assert.equal(0, s:call("XLEN", o.keys.tasks))
    assert.equal(0, s:call("EXISTS", o.result))
    os.remove(path)
    o = owner.new(s)
    assert.same({ 2 }, o:values(o:map("double", { 1 })))
  end)
end)
