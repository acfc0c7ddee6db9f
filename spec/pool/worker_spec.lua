-- SPDX-License-Identifier: MIT
-- A pool's worker by itself: what it does with tasks, functions and signals, and how it starts and ends.

local core = require("mproc.core")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local new_name = require("spec.support.codec").new_name
local proc = require("spec.support.proc")
local program = require("spec.support.program")
local protocol = require("mproc.pool.protocol")
local start_method = require("spec.support.start_method")
local worker_slot = require("spec.support.worker_slot")

local fork_it = start_method.forks and it or pending

local CALL, MAP, STAR = protocol.CALL, protocol.MAP, protocol.STAR
local DONE, RETURNED, FAILED = protocol.DONE, protocol.RETURNED, protocol.FAILED
local SKIPPED, CUT = protocol.SKIPPED, protocol.CUT

-- A worker that is ready.
local function start(more)
  local self = worker_slot.start(more)
  local ready = self:report()
  assert(ready.status == protocol.READY and ready.chunk == self.process.pid, "it has not come up")
  return self
end

local function values(reports)
  local list = {}
  for i, report in ipairs(reports) do
    list[i] = report[1]
  end
  return list
end

local function await(condition)
  local deadline = core.time() + 10
  repeat
    local value = condition()
    if value then
      return value
    end
    mproc.sleep(0.001)
  until core.time() > deadline
end

describe("a worker", function()
  leaks.watch()

  it("runs single tasks, whose function travels in them or came before", function()
    local w = start()
    local report = w:call(function(...) return select("#", ...), ... end, 1, nil)
    assert.same({ 1, 0, RETURNED, 1, 3, true }, { report.chunk, report.offset, report.status, report.count, report.slot,
      report.ok })
    assert.same({ 2, 1 }, { report[1], report[2] })
    local double = w:publish(function(x) return x * 2 end)
    assert.equal(14, w:call(double, 7)[1])
    assert.equal(16, w:call(double, 8)[1])
    w:finish()
  end)

  it("runs lists item by item, in order, and tells the time that they took", function()
    local w = start()
    local f = w:publish(function(a, b) return b and a + b or a * a end)
    local reports = w:list(MAP, f, { 1, 2, 3 })
    assert.same({ 1, 4, 9 }, values(reports))
    assert.same({ 0, 1, 2 }, { reports[1].offset, reports[2].offset, reports[3].offset })
    assert.equal(3, reports[1].count + reports[2].count + reports[3].count)
    assert.is_true(reports[3].nanoseconds > 0)
    assert.same({ 3, 7 }, values(w:list(STAR, f, { { 1, 2 }, { 3, 4 } })))
    assert.same({ true, true }, values(w:list(MAP | protocol.TEST, f, { 1, 2 })))
    assert.same({}, values(w:list(MAP | protocol.NO_RESULT, f, { 1, 2 })))
    assert.same({ 6 }, values(w:list(MAP, function(x) return x + 1 end, { 5 })))
    local bad = w:list(STAR, f, { 7 })[1]
    assert.equal(FAILED, bad.status)
    assert.truthy(bad[1]:find("starmap takes a list of arguments", 1, true))
    w:finish()
  end)

  it("counts items beyond 24 bits", function()
    local w = start()
    local f = w:publish(function(x) return x end)
    local reports = w:list(MAP, f, { "a", "b", "c" }, { chunk = 1 << 40, offset = (1 << 24) - 1 })
    assert.same({ "a", "b", "c" }, values(reports))
    assert.same({ 1 << 40, (1 << 24) + 1 }, { reports[3].chunk, reports[3].offset })
    w:finish()
  end)

  it("reports any error, never as nil, with its text and where it was raised", function()
    local w = start()
    local Error = { __tostring = function(e) return "E" .. e.code end }
    local cases = {
      { function() error("plain") end, "plain" },
      { function() error() end, "(error object is nil)" },
      { function() error(setmetatable({ code = 3 }, Error)) end, "E3" },
      { function() error({ file = io.stdout }) end, "(error object is a table value)" },
      { function() error(coroutine.create(print)) end, "thread: " },
      { function() error(setmetatable({}, { __tostring = function() error("again") end })) end, "raises" },
    }
    for _, case in ipairs(cases) do
      for _, report in ipairs({ w:call(case[1]), w:list(MAP, case[1], { 1 })[1] }) do
        assert.equal(FAILED, report.status)
        assert.truthy(report[1]:find(case[2], 1, true), report[1])
        assert.truthy(report[1]:find("remote traceback of worker 3 (pid " .. w.process.pid .. ")", 1, true), report[1])
        assert.truthy(report[1]:find("worker_spec.lua", 1, true), report[1])
      end
    end
    assert.truthy(w:call(cases[4][1])[1]:find("could not travel: cannot send error.file", 1, true))
    for _, value in ipairs({ 42, 1.5, false }) do
      assert.equal(value, w:call(error, value)[1])
    end
    assert.same({ code = 5 }, w:call(error, { code = 5 })[1])
    w:finish()
  end)

  it("makes an error of results that cannot travel, and of too many", function()
    local w = start()
    local report = w:call(function() return { log = io.stdout } end)
    assert.equal(FAILED, report.status)
    assert.truthy(report[1]:find("cannot send result.log", 1, true), report[1])
    report = w:call(function() return table.unpack({}, 1, protocol.RESULTS_MAX + 1) end)
    assert.equal(FAILED, report.status)
    assert.truthy(report[1]:find("at most 200000 can travel", 1, true), report[1])
    assert.equal(RETURNED, w:call(function() end).status)
    w:finish()
  end)

  it("learns functions and the owner's paths before it decodes what needs them", function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir))
    finally(function() os.execute("rm -r " .. dir) end)
    local w = start()
    local file = assert(io.open(dir .. "/spec_found_late.lua", "w"))
    file:write("return { answer = function() return 42 end }")
    file:close()
    local path = package.path
    finally(function()
      package.path, package.loaded.spec_found_late = path, nil
      os.execute("rm -r " .. dir)
    end)
    package.path = dir .. "/?.lua;" .. path
    local answer = require("spec_found_late").answer
    protocol.post(w.slot.channel, 0, 0, protocol.PATHS, 0, 0, 0, "paths", package.path, package.cpath)
    local number = w:publish(function(f) return f() end)
    assert.equal(42, w:call(number, answer)[1])
    w:finish()
  end)

  fork_it("fails the tasks of a function, or arguments, that it cannot decode", function()
    -- a metatable that this file alone has registered
    local Bad = { __mproc_encode = function() return {} end }
    mproc.register(new_name(), Bad, { decode = function() error("not here", 0) end })
    local value = setmetatable({}, Bad)
    local w = start()
    local bad, good = w:publish(function() return value end), w:publish(function() return 1 end)
    for _, report in ipairs({ w:call(bad), w:list(MAP, bad, { 1, 2 })[2], w:call(good, value),
      w:list(MAP, good, { value, 2 })[2], w:call(function() end, value) }) do
      assert.equal(FAILED, report.status)
      assert.truthy(report[1]:find("not here", 1, true), report[1])
    end
    assert.equal(1, w:call(good)[1])
    w:finish()
  end)

  it("forgets functions", function()
    local w = start()
    local number = w:publish(function() return "first" end)
    assert.equal("first", w:call(number)[1])
    protocol.post(w.slot.channel, number, 0, protocol.FORGET, 0, 0, 0, "forget")
    w.nfunctions = number - 1
    assert.equal(number, w:publish(function() return "second" end))
    w:call(w:publish(function() end)) -- so that it reads its channel
    assert.equal("second", w:call(number)[1])
    w:finish()
  end)

  fork_it("tells by its words what it runs, from before it is decoded", function()
    -- a metatable that this file alone has registered
    local Slow = { __mproc_encode = function() return {} end }
    mproc.register(new_name(), Slow, { decode = function() mproc.sleep(60) end })
    local w = start()
    assert.is_nil((protocol.running(w.slot.words)))
    w:task(CALL, function() end, { chunk = 77 }, setmetatable({}, Slow))
    local chunk = await(function() return (protocol.running(w.slot.words)) end)
    local _, offset, began = protocol.running(w.slot.words)
    assert.same({ 77, 0 }, { chunk, offset })
    assert.is_true(math.abs(core.time() - began) < 10)
    w:kill()
    assert.equal(77, (protocol.running(w.slot.words))) -- so it is known what it died of
  end)

  it("tells each item of a timed list", function()
    local w = start()
    local go = mproc.Queue()
    local f = w:publish(function() return go:get(10) end)
    w:task(MAP | protocol.TIMED, f, { chunk = 5, count = 3 }, { 1, 2, 3 })
    for offset = 0, 2 do
      assert.is_true(await(function() return select(2, protocol.running(w.slot.words)) == offset end))
      go:put(offset)
      assert.equal(offset, w:report()[1])
    end
    assert.is_true(await(function() return protocol.running(w.slot.words) == nil end))
    w:finish()
  end)

  it("skips what was called off, and marks what it begins", function()
    local w = start()
    local flags = w.slot.flags
    local first, second = protocol.take_flag(flags), protocol.take_flag(flags)
    assert.is_true((protocol.try_cancel(flags, first)))
    w:task(CALL, function() return 1 end, { flag = first })
    assert.equal(SKIPPED, w:report().status)
    w:task(MAP, function() return 1 end, { flag = first, count = 7 }, { 1, 2, 3, 4, 5, 6, 7 })
    assert.same({ SKIPPED, 7 }, { w:report().status, 7 })
    w:task(CALL, function() return 1 end, { flag = second })
    assert.equal(RETURNED, w:report().status)
    assert.is_true(protocol.has_begun(flags, second))
    assert.is_false((protocol.try_cancel(flags, second)))
    w:finish()
  end)

  it("ends a long chunk early when it is called off", function()
    local w = start()
    local flag = protocol.take_flag(w.slot.flags)
    w:task(MAP, function(x) mproc.sleep(0.01) return x end, { flag = flag, count = 1000 }, { n = 1000 })
    assert.equal(DONE, w:report().status)
    protocol.cancel(w.slot.flags, flag)
    local reports, last = 1
    repeat
      last = w:report()
      reports = reports + (last.status == DONE and 1 or 0)
    until last.status == SKIPPED
    assert.equal(1000, reports + last.count)
    w:finish()
  end)

  it("shares a long chunk with others that are idle", function()
    local w = start({ pool_size = 2 })
    local items = {}
    for i = 1, 20 do
      items[i] = i
    end
    w:task(MAP, function(x) mproc.sleep(0.003) return x end, { count = 20 }, items)
    local seen, cuts = {}, 0
    while #seen < 20 do
      local report = w:report()
      if report.status == CUT then
        cuts = cuts + 1
      else
        assert.equal(report.offset + 1, report[1])
        seen[#seen + 1] = report.offset
      end
    end
    assert.is_true(cuts > 0)
    w:finish()
  end)

  it("has written what a task wrote before it is reported", function()
    local path = os.tmpname()
    finally(function() os.remove(path) end)
    local w = start()
    local function size()
      local file <close> = assert(io.open(path))
      return file:seek("end")
    end
    w:call(function()
      mproc_spec_file = io.open(path, "a") -- luacheck: ignore
      io.output(io.open(path, "a"))
      io.write("12345")
    end)
    assert.equal(5, size())
    w:call(function() mproc_spec_file:write("67") end) -- luacheck: ignore
    assert.equal(7, size())
    for i, report in ipairs(w:list(MAP, function(x) io.write(x) end, { "a", "b" })) do
      assert.equal(i - 1, report.offset)
    end
    assert.equal(9, size())
    w:kill()
  end)

  it("drops a hook that a task leaves behind", function()
    local w = start()
    local function hooks()
      debug.sethook(function() error("a hook of an earlier task", 0) end, "", 50)
      return 1
    end
    for _ = 1, 3 do
      assert.equal(1, w:call(hooks)[1])
      assert.same({ 1, 1, 1 }, values(w:list(MAP, hooks, { 1, 2, 3 })))
    end
    w:finish()
  end)

  it("leaves after its number of tasks, and puts the rest back", function()
    local w = start({ max_tasks = 3 })
    w:task(MAP, function(x) return x end, { count = 5 }, { 1, 2, 3, 4, 5 })
    local seen = {}
    for i = 1, 4 do
      seen[i] = w:report()
    end
    assert.same({ DONE, DONE, DONE, CUT }, { seen[1].status, seen[2].status, seen[3].status, seen[4].status })
    assert.equal(0, w:join())
    assert.equal(1, w.slot.tasks:qsize())
    w.process:close()
  end)

  it("leaves after the task that has made it too large", function()
    local w = start({ max_memory = protocol.resident() + (64 << 20) })
    for _ = 1, 3 do
      assert.equal(RETURNED, w:call(function() return 1 end).status)
    end
    assert.equal(RETURNED, w:call(function()
      mproc_spec_ballast = ("x"):rep(100 << 20) -- luacheck: ignore
    end).status)
    assert.equal(0, w:join())
    w.process:close()
  end)

  it("leaves when it is told to, and runs its finalizer", function()
    local ended = mproc.Event()
    local w = start({ finalizer = function() ended:set() end })
    local pid = w.process.pid
    local last, code = w:finish()
    assert.same({ protocol.LEAVING, pid, 0 }, { last.status, last.chunk, code })
    assert.is_true(ended:is_set())
  end)
end)

describe("a worker that cannot start", function()
  leaks.watch()

  it("says why, and ends with an exit code of its own, whatever its initializer raises", function()
    for _, case in ipairs({
      { function() error("no database", 0) end, "no database" },
      { function() error() end, "(error object is nil)" },
      { function() error(setmetatable({}, { __tostring = function() return "E7" end })) end, "E7" },
      { function() error(coroutine.create(print)) end, "thread: " },
      { function() error(setmetatable({}, { __mproc_encode = function() error("hook", 0) end })) end, "hook" },
    }) do
      local w = worker_slot.start({ initializer = case[1], initargs = core.pack({ n = 0 }, "args") })
      local report = w:report()
      assert.same({ protocol.BROKEN, 3 }, { report.status, report.slot })
      assert.truthy(report[1]:find(case[2], 1, true), report[1])
      assert.equal(1, w:join())
      assert.is_nil(w:report(0))
      w.process:close()
    end
  end)
end)

describe("SIGTERM", function()
  leaks.watch()

  it("closes the variables of the task that runs, and ends the worker in order", function()
    local w = start()
    local closed, waits = mproc.Event(), mproc.Event()
    for _, wait in ipairs({
      function() mproc.sleep(60) end,
      function() while true do end end,
      function() coroutine.wrap(function() mproc.sleep(60) end)() end,
    }) do
      w:task(CALL, function()
        local _ <close> = setmetatable({}, { __close = function() closed:set() end })
        waits:set()
        wait()
      end)
      assert.is_true(waits:wait(10))
      w.process:terminate()
      assert.equal(143, w:join())
      assert.is_true(closed:is_set())
      assert.is_nil(w:report(0))
      w.process:close()
      closed:clear()
      waits:clear()
      w = start()
    end
    w:finish()
  end)

  it("ends an idle worker, and one in a list", function()
    local w = start()
    proc.wait_asleep(w.process.pid)
    w.process:terminate()
    assert.equal(143, w:join())
    w.process:close()
    w = start()
    w:task(MAP, function() mproc.sleep(0.02) end, { count = 1000 }, { n = 1000 })
    assert.equal(DONE, w:report().status)
    w.process:terminate()
    assert.equal(143, w:join())
    w.process:close()
  end)
end)

describe("a worker in a full arena", function()
  local PRELUDE = [[
    local core = require("mproc.core")
    local mproc = require("mproc")
    local protocol = require("mproc.pool.protocol")
    local w = require("spec.support.worker_slot").start()
    w:report()
    local filling = {}
    local function fill(least)
      local size = 8 << 20
      collectgarbage()
      collectgarbage()
      collectgarbage("stop")
      while size >= least do
        local array = mproc.Array("uint8", size - 1096)
        filling[#filling + 1] = array
        size = array and size or size // 2
      end
    end
    local go = mproc.Event()
    local function hold(mode, size, header, ...) -- a task that runs, and will return strings of that size
      w:task(mode, function() go:wait() return ("y"):rep(size) end, header, ...)
      while not protocol.running(w.slot.words) do
        mproc.sleep(0.001)
      end
    end
  ]]
  local ARENA = { env = "MPROC_ARENA=16M", seconds = 60 }

  it("tries for some seconds to take a task, then ends and says why", function()
    local r = program.text(PRELUDE .. [[
      w:task(protocol.CALL, function() end)
      w:report()
      while protocol.running(w.slot.words) do -- its lease takes a page
        mproc.sleep(0.001)
      end
      fill(4096)
      w:task(protocol.CALL, function() end)
      local code = w:join()
      print(code, protocol.reason(w.slot.words))
      print(w.slot.tasks:qsize(), (protocol.running(w.slot.words)))
    ]], ARENA)
    assert.truthy(r.out:find("^1\tthe arena was full for 5 s[^\n]*\n1\tnil\n$"), r.out .. r.err)
  end)

  it("reports a result that finds no room as an error", function()
    local r = program.text(PRELUDE .. [[
      hold(protocol.CALL, 1 << 20)
      fill(1 << 16)
      go:set()
      local report = w:report()
      print(report.status == protocol.FAILED, report[1])
      filling = nil
      collectgarbage()
      collectgarbage()
      print(w:call(function() return "goes on" end)[1])
      w:finish()
    ]], ARENA)
    assert.truthy(r.out:find("^true\tthe arena is full[^\n]*\ngoes on\n$"), r.out .. r.err)
  end)

  it("ends when not even that can be told, and says why", function()
    local r = program.text(PRELUDE .. [[
      hold(protocol.MAP, 60, { count = 5000 }, { n = 5000 })
      fill(4096)
      go:set()
      local code = w:join()
      print(code, protocol.reason(w.slot.words))
      print((protocol.running(w.slot.words)))
    ]], ARENA)
    assert.truthy(r.out:find("^1\tthe arena was full for 5 s[^\n]*\n1\n$"), r.out .. r.err)
  end)
end)
