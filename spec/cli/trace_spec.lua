-- SPDX-License-Identifier: MIT
-- mproc trace and mproc report: a timeline that can be read whatever was killed, and what is said of it.

local cli = require("spec.support.cli")
local json = require("mproc.cli.json")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

local PROGRAM = [[
local mproc = require("mproc")
local function spin(i)
  local ends = mproc.time() + 0.001
  while mproc.time() < ends do end
  return i
end
local pool <close> = mproc.Pool{ processes = 2, close_fds = true }
local items = {}
for i = 1, 100 do items[i] = i end
pool:map(spin, items)
local futures = {}
for i = 1, 5 do futures[i] = pool:submit(spin, i) end
for _, future in ipairs(futures) do future:get() end
pcall(pool.apply, pool, function() os.exit(3) end)
local p = mproc.Process{ name = 'a "name"', target = function() mproc.sleep(0.02) end }:start()
p:join()
mproc.freeze_heap()
]]

-- The events of a file; each line must be one, but the first.
local function events_of(path)
  local events = {}
  local text = cli.read(path)
  assert.equal("[\n", text:sub(1, 2))
  for line in text:sub(3):gmatch("[^\n]*\n") do
    local event = json.decode((line:gsub(",\n$", "")))
    assert.equal("table", type(event), line)
    assert.is_true(#event.ph == 1 and type(event.ts) == "number" and math.type(event.pid) == "integer"
      and type(event.name) == "string", line)
    events[#events + 1] = event
  end
  return events
end

local function select_events(events, ph, cat)
  local found = {}
  for _, event in ipairs(events) do
    if event.ph == ph and (not cat or event.cat == cat) then
      found[#found + 1] = event
    end
  end
  return found
end

local function names_of(events)
  local names = {}
  for _, event in ipairs(events) do
    names[event.name] = (names[event.name] or 0) + 1
  end
  return names
end

describe("mproc trace", function()
  leaks.watch()
  local folder, out, source

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    out, source = folder .. "/out.json", cli.write(folder .. "/prog.lua", PROGRAM)
  end)

  after_each(function()
    os.execute("rm -r " .. folder)
  end)

  it("writes what processes did, as Chrome's trace events", function()
    local result = cli.run("trace", out, program.lua, source)
    assert.equal(0, result.code, result.err)
    local events = events_of(out)
    local chunks = select_events(events, "X", "chunk")
    local items, began = 0, {}
    for _, event in ipairs(chunks) do
      items = items + event.args.count
      began[event.pid .. ":" .. event.ts] = event
      assert.is_true(event.args.first >= 0 and event.args.chunk >= 1 and math.type(event.args.job) == "integer")
    end
    assert.equal(105, items)
    assert.matches("^map .*prog.lua:2$", chunks[1].name)
    local sent = {}
    for _, event in ipairs(select_events(events, "s")) do
      sent[event.id] = event
    end
    local arrows = 0
    for _, event in ipairs(select_events(events, "f")) do
      arrows = arrows + (sent[event.id] and 1 or 0)
      assert.equal("apply", began[event.pid .. ":" .. event.ts].name:match("^apply"))
      assert.is_true(sent[event.id] == nil or sent[event.id].ts <= event.ts)
    end
    assert.equal(5, arrows)
    for _, event in ipairs(select_events(events, "X", "wait")) do
      assert.is_true(event.dur >= 1000)
    end
    assert.matches("exit code 3", select_events(events, "i")[1].name)
    assert.equal(0, select_events(events, "C")[1].args.pending < 1 and 1 or 0)
    local names = names_of(select_events(events, "X", "process"))
    assert.same({ 1, 1, 4, 1 }, { names.MainProcess, names['a "name"'], names.fork, names.freeze_heap })
    local pids = {}
    for _, event in ipairs(select_events(events, "M")) do
      assert.is_nil(pids[event.pid])
      pids[event.pid] = event.args.name
    end
  end)

  it("leaves a file that can be read when all is killed", function()
    cli.write(source, PROGRAM:gsub("pool:map%(spin, items%)", "while true do pool:map(spin, items) end"))
    local result = cli.shell(([[
      %s trace %s %s %s & pid=$!
      until [ "$(wc -c <%s)" -gt 20000 ]; do sleep 0.05; done
      kill -KILL $pid; wait $pid]]):format(cli.program, out, program.lua, source, out))
    assert.equal(137, result.code)
    local events = events_of(out)
    assert.is_true(#select_events(events, "X", "chunk") > 10)
    local text = cli.read(out):gsub(",\n$", "\n]\n")
    assert.equal("table", type(json.decode(text)))
    if os.execute("command -v python3 >/dev/null") then
      local whole = cli.write(folder .. "/whole.json", text)
      assert.is_true(os.execute("python3 -c 'import json,sys; json.load(open(sys.argv[1]))' " .. whole))
    end
  end)

  it("is the program: its exit status, its input, its output; programs that it starts are in the same file", function()
    cli.write(source, [[
      local mproc = require("mproc")
      print(io.read("a"))
      if arg[1] then os.execute("exec " .. arg[-1] .. " " .. arg[0]) end
      os.exit(7)
    ]])
    local result = cli.shell(("echo input | mproc trace out.json %s %s again"):format(program.lua, source)
      :gsub("out.json", out))
    assert.equal("input\n\n\n", result.out)
    assert.equal(7, result.code)
    assert.equal(2, #select_events(events_of(out), "M"))
  end)

  it("begins with MPROC_TRACE as well, and without either nothing is written", function()
    assert.equal(0, program.file(source, {}, { env = "MPROC_TRACE=" .. out }).code)
    assert.is_true(#events_of(out) > 10)
    assert.equal(0, program.file(source, {}, { env = "MPROC_TRACE=" .. out }).code) -- it begins anew
    assert.equal(1, names_of(select_events(events_of(out), "X", "process")).MainProcess)
    os.remove(out)
    assert.equal(0, program.file(source).code)
    assert.is_nil(io.open(out))
  end)

  it("says what is wrong before it runs anything", function()
    local function of(...)
      local result = cli.run("trace", ...)
      return result.code, result.err
    end
    local code, err = of(out)
    assert.equal(2, code)
    assert.matches("PROGRAM is missing", err, 1, true)
    code, err = of("/nonexistent/x.json", "true")
    assert.equal(2, code)
    assert.matches("cannot write /nonexistent/x.json", err, 1, true)
    code, err = of(out, "no-such-program")
    assert.equal(2, code)
    assert.matches("cannot run no-such-program: No such file", err, 1, true)
    local result = program.file(source, {}, { env = "MPROC_TRACE=/nonexistent/x.json" })
    assert.equal(1, result.code)
    assert.matches("MPROC_TRACE: cannot write '/nonexistent/x.json': No such file", result.err, 1, true)
  end)
end)

describe("mproc report", function()
  leaks.watch()

  -- Two workers: one runs from 0 to 4 s and 5 to 6 s, the other from 0 to 2 s.
  local LINES = [==[
[
{"ph":"M","ts":0,"pid":1,"tid":1,"name":"process_name","args":{"name":"<one>"}},
{"ph":"X","ts":1000000.000,"dur":4000000,"pid":2,"tid":2,"cat":"chunk","name":"map a.lua:1","args":{"count":4}},
{"ph":"X","ts":1000000.000,"dur":2000000,"pid":1,"tid":1,"cat":"chunk","name":"map a.lua:1","args":{"count":2}},
{"ph":"X","ts":6000000.000,"dur":1000000,"pid":2,"tid":2,"cat":"chunk","name":"map a.lua:1","args":{"count":1}},
{"ph":"X","ts":3000000.000,"dur":4000000,"pid":1,"tid":1,"cat":"wait","name":"waits for lock 7","args":{}},
{"ph":"i","ts":2000000.000,"pid":1,"tid":1,"s":"p","name":"a & b"},
{"ph":"X","ts":30000]==]

  local function report(text, ...)
    local path = cli.write(os.tmpname(), text)
    local result = cli.run("report", path, ...)
    os.remove(path)
    return result
  end

  it("sums up what workers did, what was serial, and who waited", function()
    assert.equal([[
7 items in 3 messages by 2 workers, in 6.00 s
58% of the workers' time was working, from the first message to the last
serial: for 4.00 s at most one process worked (67%)
imbalance at the end: 4.00 s
longest waits: <one> (pid 1) waits for lock 7, for 4.00 s
at 1.00 s: a & b
]], report(LINES, "--text").out)
  end)

  it("draws rows of boxes, as XML that holds no script", function()
    local svg = report(LINES).out
    assert.matches("^<svg xmlns=", svg)
    assert.matches("&lt;one&gt;", svg, 1, true)
    assert.is_nil(svg:find("<one>", 1, true))
    assert.is_nil(svg:find("<script", 1, true))
    assert.equal(3, select(2, svg:gsub('<rect [^>]*fill="#4477aa"', "")))
    if os.execute("command -v python3 >/dev/null") then
      local path = cli.write(os.tmpname(), svg)
      assert.is_true(os.execute("python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' " .. path))
      os.remove(path)
    end
  end)

  it("refuses what is no timeline", function()
    assert.equal(1, report("").code)
    assert.matches("has no events", report("[]\n{\n").err, 1, true)
    assert.equal(2, cli.run("report").code)
    assert.matches("cannot read", cli.run("report", "/nonexistent").err, 1, true)
    assert.matches("cannot read", cli.run("report", "/").err, 1, true)
  end)
end)

describe("the program's JSON", function()
  it("is read as it was written", function()
    local value = { a = { 1, 2.5, "x\"\\\n\1é" }, b = true, c = json.list({}), d = { e = { { } } } }
    assert.same(value, json.decode(json.encode(value)))
    assert.equal('{"a":[],"b":null}', json.encode({ a = json.list({}), b = 0 / 0 }))
    assert.equal('"\\u001bÿ"', json.encode("\27\255"))
    assert.equal("é\n", json.decode('"\\u00e9\\n"'))
  end)

  it("gives nil for what is none", function()
    local texts = { "", "{", "[1", "[1,]", '{"a"}', '{"a":}', '"', '"\\', "nul", "1 2", "-", ("["):rep(1000) }
    for _, text in ipairs(texts) do
      assert.is_nil(json.decode(text), text)
    end
  end)
end)
