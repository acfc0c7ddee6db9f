-- SPDX-License-Identifier: MIT
-- Pools over several machines, as far as the core is concerned: with an engine of the spec's own, whose keeper runs the
-- tasks itself. The real one's specs are the rock's.

local blame = require("spec.support.blame")
local core = require("mproc.core")
local leaks = require("spec.support.leaks")
local mproc = require("mproc")
local protocol = require("mproc.pool.protocol")

-- --- the functions ---

local tools = {}

function tools.double(x) return 2 * x end
function tools.add(a, b) return a + b end
function tools.even(x) return x % 2 == 0 end
function tools.count(...) return select("#", ...), ... end
function tools.fail(x) error({ no = x }) end
function tools.nap(s) mproc.sleep(s) return s end
function tools.die() core.exit(7) end
tools.square = setmetatable({}, { __call = function(_, x) return x * x end })

-- --- the engine ---

local RECORD = "<I1I8s4"

local function find(name)
  local module, field = name:match("^(.*)%.([^.]+)$")
  return require(module)[field]
end

local function function_of(name)
  local f, combine = name:match("^(%S+) (%S+)$")
  if f then
    return require("mproc.pool.worker.partial")(find(f), find(combine))
  end
  return find(name)
end

local function record(status, ...)
  return RECORD:pack(status, 1000, (assert(protocol.pack_abroad("result", ...))))
end

local function ended(status, ok, ...)
  return ok and record(status, ...) or record(protocol.FAILED, (...))
end

local function run(kind, f, count, ...)
  local verb, records = protocol.verb(kind), {}
  if verb == protocol.CALL then
    return ended(protocol.RETURNED, pcall(f, ...))
  end
  for i = 1, count do
    local item = (...)[i]
    if verb == protocol.STAR then
      records[i] = ended(protocol.DONE, pcall(f, table.unpack(item)))
    elseif protocol.has(kind, protocol.TEST) then
      records[i] = record(protocol.DONE, not not f(item))
    else
      records[i] = ended(protocol.DONE, pcall(f, item))
    end
  end
  return table.concat(records)
end

-- One task; what waits in the channel has been read.
local function serve(slot, names, lease, k, _, kind, count, _, f)
  local name = names[f] and names[f].name or core.unpack(slot.inherited[f]).name
  local records = run(kind, function_of(name), count, protocol.unpack_abroad(protocol.task_bytes(lease)))
  assert(protocol.put_results(slot.results, k, 0, slot.index, count, records) == count)
  lease:done()
end

local function read_channel(inbox, names)
  while true do
    local generation, number, _, notice, _, _, _, _, _, value = protocol.receive(inbox, 0)
    if not generation then
      return
    elseif notice == protocol.FUNCTION then
      names[number] = value
    end
    protocol.done(inbox, generation)
  end
end

local fake = {}

function fake.refuse(url)
  return url:find("wrong", 1, true) and "the address is wrong" or nil
end

function fake.main(slot)
  local names, inbox = {}, protocol.inbox(slot.channel)
  protocol.post(slot.results, core.getpid(), 0, protocol.READY, 0, slot.index, 0, "ready")
  protocol.post(slot.results, core.getpid(), 0, protocol.FLEET, 0, slot.index, 0, "fleet", {
    processes = 3, ahead = 2, seconds = 0.005, workers = { { name = "far:1", processes = 3, done = 0, failed = 0,
      working = 0, waiting = 0 } },
  })
  while true do
    local task = table.pack(protocol.lease_task(slot.tasks))
    if task[1] == nil then
      return
    end
    read_channel(inbox, names)
    serve(slot, names, table.unpack(task, 1, task.n))
  end
end

setup(function()
  package.preload["mproc.far.fake"] = function() return fake end
  package.preload["far_tools"] = function() return tools end
  require("far_tools")
end)

teardown(function()
  for _, name in ipairs({ "mproc.far.fake", "far_tools" }) do
    package.preload[name], package.loaded[name] = nil, nil
  end
end)

local URL = "fake://user:secret@host/0?queue=spec"

describe("a pool over several machines", function()
  leaks.watch()

  local function numbers(n)
    local list = {}
    for i = 1, n do list[i] = i end
    return list
  end

  it("has the calls of every pool", function()
    local pool <close> = mproc.Pool{ url = URL }
    assert.equal(42, pool:apply(tools.double, { 21 }))
    assert.same({ 3, 1, nil, 3, n = 4 }, table.pack(pool:apply(tools.count, { 1, nil, 3, n = 3 })))
    local doubled = pool:map(tools.double, numbers(5000))
    for i = 1, 5000 do assert.equal(2 * i, doubled[i]) end
    assert.same({ 3, 7 }, pool:starmap(tools.add, { { 1, 2 }, { 3, 4 } }))
    assert.equal(10100, pool:reduce(tools.double, numbers(100), tools.add, 0))
    assert.same({ 2, 4 }, pool:filter(tools.even, numbers(5)))
    assert.same({ 6, 2 }, { pool:find(tools.even, { 3, 6 }) })
    local sum = 0
    for i, v in pool:imap(tools.double, numbers(300)) do
      assert.equal(2 * i, v)
      sum = sum + v
    end
    assert.equal(90300, sum)
    local futures = {}
    for i = 1, 50 do futures[i] = pool:submit(tools.double, i) end
    for i = 1, 50 do assert.equal(2 * i, futures[i]:get()) end
  end)

  it("raises what a task raised", function()
    local pool <close> = mproc.Pool{ url = URL }
    assert.same({ no = 3 }, select(2, pcall(pool.map, pool, tools.fail, { 3 })))
    assert.same({ no = 4 }, select(2, pcall(pool.apply, pool, tools.fail, { 4 })))
  end)

  it("counts items, and names workers by what they are called", function()
    local pool <close> = mproc.Pool{ url = URL }
    pool:map(tools.double, numbers(100))
    pcall(pool.map, pool, tools.fail, { 1 })
    local stats = pool:stats()
    assert.same({ 100, 1 }, { stats.done, stats.failed })
    assert.same({ "far:1" }, pool:workers())
    assert.equal("far:1", stats.workers[1].name)
    assert.matches("worker 1 %(far:1%)", tostring(stats))
    assert.matches("at fake://host/0%?queue=spec", tostring(pool))
    assert.not_matches("secret", tostring(pool))
  end)

  it("wants functions that have a name, and says what to do", function()
    local pool <close> = mproc.Pool{ url = URL }
    local line = debug.getinfo(1, "l").currentline + 2
    local ok, err = pcall(function()
      pool:map(function(x) return x end, { 1 })
    end)
    assert.is_false(ok)
    assert.matches("far_spec.lua:" .. line .. ": cannot send function <", err, 1, true)
    assert.matches("put it into a module that the workers have, too", err, 1, true)
    assert.error_matches(function() pool:submit(function() end) end, "no loaded module has it in a field")
    assert.error_matches(function() pool:apply(tools.square, { 2 }) end, "names alone, .* a table that can be called")
    assert.error_matches(function() pool:reduce(tools.double, { 1 }, function(a) return a end, 0) end, "cannot send")
    assert.error_matches(function() pool:filter(function() end, { 1 }) end, "cannot send function")
    assert.equal(2, pool:apply(math.sqrt, { 4 }))
    assert.equal(3, pool:apply(tools.add, { 1, 2 }))
  end)

  it("follows a function to another field, and forgets one that has left its module", function()
    local pool <close> = mproc.Pool{ url = URL }
    local f = tools.double
    assert.equal(2, pool:apply(f, { 1 }))
    tools.double = nil
    local ok, err = pcall(pool.apply, pool, f, { 1 })
    tools.double = f
    assert.is_false(ok)
    assert.matches("no loaded module has it in a field", err)
    assert.equal(4, pool:apply(f, { 2 }))
  end)

  it("refuses what has a meaning on one machine only, by its path", function()
    local pool <close> = mproc.Pool{ url = URL }
    local lock, queue = mproc.Lock(), mproc.Queue()
    blame.caller(function() pool:map(tools.double, { 1, { lock = lock } }) end,
      ": cannot send items[2].lock: a lock lives in one machine's memory")
    local _, err = pcall(pool.apply, pool, tools.double, { 1, { q = queue } })
    assert.matches("cannot send args[2].q: a queue lives in one machine's memory", err, 1, true)
    _, err = pcall(pool.apply, pool, tools.double, { { f = print } })
    assert.matches("cannot send args[1].f: ", err, 1, true)
    local stream = pool:imap(tools.double, { 1, lock, 3 })
    assert.same({ 1, 2 }, { stream() })
    assert.error_matches(stream, "cannot send items%[2%]: a lock lives in one machine's memory")
    assert.same({ 3, 6 }, { stream() })
    assert.equal(6, pool:apply(tools.double, { 3 }))
  end)

  it("refuses messages that are too large, and sends the others", function()
    local pool <close> = mproc.Pool{ url = URL, max_bytes = 1 << 20 }
    local long = ("x"):rep(3 << 20)
    local _, err = pcall(pool.apply, pool, tools.count, { long })
    assert.equal("too_large", err.kind)
    assert.equal("cannot send args: 3 MiB, and a message may have 1; store it, send its name", tostring(err))
    _, err = pcall(pool.map, pool, tools.count, { "a", long, "b" })
    assert.equal("cannot send items[2]: 3 MiB, and a message may have 1; store it, send its name", tostring(err))
    local halves = { ("x"):rep(700000), ("y"):rep(700000), ("z"):rep(700000) }
    assert.same({ 1, 1, 1 }, pool:map(tools.count, halves, 3))
  end)

  it("refuses options that belong to workers, and addresses that are none", function()
    local function refused(pattern, options)
      assert.error_matches(function() mproc.Pool(options) end, pattern)
    end
    for name, value in pairs({
      processes = 2, initializer = print, initargs = {}, finalizer = print, maxtasksperchild = 3, rlimit = {},
      cpu_affinity = true, freeze_heap = true, serial = true, maxmemoryperchild = 1 << 30, close_fds = true,
    }) do
      refused("^" .. name .. " belongs to the workers: start them with "
        .. "`mproc worker URL %-j N %-%-begin CODE`", { url = URL, [name] = value })
    end
    refused("url must be a string", { url = 3 })
    refused("url must be an address such as", { url = "host" })
    refused("the address is wrong", { url = "fake://wrong" })
    refused("needs a rock that has the module mproc.far.nowhere", { url = "nowhere://host" })
    refused("patience must be a number of seconds", { url = URL, patience = -1 })
    refused("max_bytes must be a number of bytes", { url = URL, max_bytes = "1" })
    refused("window must be a number of bytes", { url = URL, window = 0 })
    refused("window is an option of a pool over several machines", { processes = 1, window = 1 })
    local pool <close> = mproc.Pool{ url = URL }
    assert.error_matches(function() pool:resize(3) end, "workers come and go by themselves")
  end)

  it("goes on when its keeper is killed: nobody is guilty, and every item is done", function()
    local pool <close> = mproc.Pool{ url = URL }
    local keeper = pool:apply(mproc.getpid)
    local future = pool:map_async(tools.nap, { 0.05, 0.05, 0.05, 0.05, 0.05, 0.05 }, 2)
    mproc.sleep(0.08)
    os.execute("kill -KILL " .. keeper)
    assert.same({ 0.05, 0.05, 0.05, 0.05, 0.05, 0.05 }, future:get())
    assert.not_equal(keeper, pool:apply(mproc.getpid))
    assert.equal(0, pool:stats().retried)
  end)

  it("gives each keeper an id of its own, and tells it those before", function()
    package.loaded["mproc.far.fake"].main, fake.kept = function(slot)
      fake.slot = slot
      return fake.kept(slot)
    end, fake.main
    tools.slot = function() return fake.slot.far.id, fake.slot.far.earlier, fake.slot.far.retries end
    local pool <close> = mproc.Pool{ url = URL, on_crash = "retry", retries = 5 }
    fake.main = fake.kept
    local id, earlier, retries = pool:apply(tools.slot)
    assert.matches("^%x+$", id)
    assert.same({ 16, {}, 5 }, { #id, earlier, retries })
    os.execute("kill -KILL " .. pool:apply(mproc.getpid))
    local other, before = pool:apply(tools.slot)
    assert.not_equal(id, other)
    assert.same({ id }, before)
  end)
end)

describe("results as bytes", function()
  leaks.watch()

  it("are put one message an item, the time of all with the last", function()
    local q = mproc.Queue()
    local records = record(protocol.DONE, 1) .. record(protocol.FAILED, "no") .. RECORD:pack(protocol.SKIPPED, 0, "")
    assert.equal(3, protocol.put_results(q, 7, 4, 1, 3, records))
    local inbox, seen = protocol.inbox(q, "abroad"), {}
    for i = 1, 3 do
      local got = table.pack(protocol.receive(inbox, 0))
      seen[i] = { got[2], got[3], got[4], got[5], got[6], got[7] }
      protocol.done(inbox, got[1])
    end
    assert.same({
      { 7, 4, protocol.DONE, 1, 1, 0 }, { 7, 5, protocol.FAILED, 1, 1, 0 }, { 7, 6, protocol.SKIPPED, 3, 1, 2000 },
    }, seen)
  end)

  it("that are cut or lie are fewer than they should be, and break nothing", function()
    local q = mproc.Queue()
    local whole = record(protocol.DONE, 1):rep(3)
    assert.equal(2, protocol.put_results(q, 1, 0, 1, 3, whole:sub(1, -2)))
    assert.equal(0, protocol.put_results(q, 1, 0, 1, 3, ""))
    assert.equal(0, protocol.put_results(q, 1, 0, 1, 3, RECORD:pack(9, 0, "x")))
    assert.equal(0, protocol.put_results(q, 1, 0, 1, 1, ("<I1I8I4"):pack(0, 0, 0xffffffff)))
    assert.equal(2, protocol.put_results(q, 1, 0, 1, 2, whole))
    assert.equal(4, q:qsize())
  end)

  it("are decoded without functions, handles and hooks, and say so", function()
    local q = mproc.Queue()
    for _, bad in ipairs({ mproc.encode(print), mproc.encode(q), "nonsense" }) do
      protocol.put_results(q, 1, 0, 1, 1, RECORD:pack(protocol.DONE, 0, bad))
      local inbox = protocol.inbox(q, "abroad")
      local got = table.pack(protocol.receive(inbox, 0))
      assert.is_false(got[9])
      assert.is_string(got[10])
      protocol.done(inbox, got[1])
    end
  end)
end)
