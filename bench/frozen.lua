-- SPDX-License-Identifier: MIT
-- Claim: a frozen graph of 85 MB is read in place, at a few times the cost of plain tables, by processes that need next
-- to no memory of their own. Beside it, in the column of raw C, plain tables (and encode beside freeze); decode in each
-- process, Python's pickle and ShareableList, and LMDB share the same records in their way.

local harness = require("bench.harness")
local mproc = require("mproc")

local RECORDS, READS = 100000, 1000
local GETS = 300000

local function build()
  local graph = { recs = {}, nums = {}, floats = {}, map = {} }
  for i = 1, RECORDS do
    local tags = { "a" .. i % 10, "b", "c" }
    graph.recs[i] = { id = i, name = "user" .. i, score = i / 3, active = i % 2 == 0, tags = tags }
    graph.map["key" .. i] = i
  end
  for i = 1, 10 * RECORDS do
    graph.nums[i], graph.floats[i] = i, i + 0.5
  end
  return graph
end

local function heap_bytes()
  collectgarbage()
  collectgarbage()
  return collectgarbage("count") * 1024
end

-- The plain graph's bytes; it frozen, and encoded.
local function make()
  local empty = heap_bytes()
  local graph = build()
  return heap_bytes() - empty, assert(mproc.freeze(graph)), mproc.encode(graph)
end

local heap, frozen, encoded = make()
heap_bytes()

-- --- a child's own memory, and time: of children that inherit no tables ---

local function own_mib()
  local kib = 0
  for line in io.lines("/proc/self/smaps_rollup") do
    kib = kib + (tonumber(line:match("^Private_Dirty: *(%d+)")) or 0)
  end
  return kib / 1024
end

-- own_mib and the clock have run once before: what they take themselves counts for nobody.
local function in_child(field, read)
  return function()
    local p = mproc.Process(function()
      own_mib()
      local before, began = own_mib(), mproc.time()
      local kept = read()
      local took = mproc.time() - began
      return { memory = own_mib() - before, ms = took * 1e3, kept = kept ~= nil }
    end):start()
    return p:result()[field]
  end
end

local function read_frozen()
  local sum = 0
  for i = 1, RECORDS, RECORDS // READS do
    sum = sum + frozen("recs", i, "score") + #frozen("recs", i, "name")
  end
  return sum
end

local function read_decoded()
  local g, sum = mproc.decode(encoded), 0
  for i = 1, RECORDS, RECORDS // READS do
    sum = sum + g.recs[i].score + #g.recs[i].name
  end
  return { g, sum }
end

for _, row in ipairs({ { "memory", "MiB", 1 }, { "ms", "ms" } }) do
  local field, unit, reach = table.unpack(row)
  harness.run({
    title = ("1,000 of 85 MB in a child, own %s"):format(unit),
    better = "less",
    mproc = in_child(field, read_frozen),
    peers = {
      { name = "decode", version = mproc._VERSION, run = in_child(field, read_decoded) },
      harness.peer("pickle", field), harness.peer("shareable", field), harness.peer("lmdb", field),
    },
    reach = reach and "<= 1" or "",
    reached = reach and function(found) return found.median <= reach end or nil,
  })
end

local graph = build()

-- --- size and making ---

local function seconds(f)
  return function()
    local began = os.clock()
    f()
    return os.clock() - began
  end
end

harness.run({
  title = "frozen size / Lua heap",
  better = "less",
  mproc = function() return mproc.frozen_info(frozen).bytes / heap end,
  reach = "<= 0.45",
  reached = function(found) return found.median <= 0.45 end,
})
harness.run({
  title = "freeze 85 MB beside encode, CPU s",
  better = "less",
  mproc = seconds(function() local _ <close> = mproc.freeze(graph) end),
  raw = seconds(function() return mproc.encode(graph) end),
  reach = "<= 4 x encode",
  reached = function(found) return found.ratio <= 4 end,
})

-- --- reading: each job of the plain graph or the frozen one, in ns a step ---

local JOBS = {
  { "r.score of a held record, ns", 8, function(g)
    local r, sum = g.recs[500], 0
    for _ = 1, GETS do
      sum = sum + r.score
    end
    return GETS, sum
  end },
  { "pairs over integers, ns", 1.2, function(g)
    local sum = 0
    for _, v in pairs(g.nums) do
      sum = sum + v
    end
    return #g.nums, sum
  end },
}

local function step(f, g)
  return function()
    local began = os.clock()
    local count = f(g)
    return (os.clock() - began) / count * 1e9
  end
end

local function row(title, most, ours, plain)
  harness.run({
    title = title,
    better = "less",
    mproc = ours,
    raw = plain,
    reach = ("<= %g x plain"):format(most),
    reached = function(found) return found.ratio <= most end,
  })
end

for _, job in ipairs(JOBS) do
  row(job[1], job[2], step(job[3], frozen), step(job[3], graph))
end
row("a path over all records, ns", 1.3, step(function(f)
  local sum = 0
  for i = 1, RECORDS do
    sum = sum + f("recs", i, "score")
  end
  return RECORDS, sum
end, frozen), step(function(g)
  local sum = 0
  for i = 1, RECORDS do
    sum = sum + g["recs"][i]["score"]
  end
  return RECORDS, sum
end, graph))

local shared = mproc.Dict{ config = frozen }
harness.run({
  title = "a Dict's value that is frozen, ns",
  better = "less",
  mproc = step(function(d)
    for _ = 1, GETS do
      local _ = d.config
    end
    return GETS
  end, shared),
  reach = "<= 250",
  reached = function(found) return found.median <= 250 end,
})
