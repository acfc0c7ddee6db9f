-- SPDX-License-Identifier: MIT
-- Claims: what an operation costs does not depend on how many producers and consumers, waiting messages, processes or
-- objects there are; and throughput does not collapse with many at work on few CPUs. Messages of 8 bytes to 1 GiB are
-- shown without a claim: a large message is copied at the pace of fresh memory.

local mproc = require("mproc")
local series = require("bench.series")

local MESSAGES = 400000 -- of each point of the first curve
local DROPPED = 2000 -- objects
local FLAT = 2

local function doubling(first, last)
  local list = {}
  local x = first
  while x < last do
    list[#list + 1] = x
    x = x * 8
  end
  list[#list + 1] = last
  return list
end

-- Starts n processes of a target; gives a function that joins them.
local function start_all(n, target, ...)
  local all = {}
  for i = 1, n do
    all[i] = mproc.Process(target, ...):start()
  end
  return function()
    for _, p in ipairs(all) do
      p:join()
      p:close()
    end
  end
end

-- Says when it began: the parent may be woken long after its children.
local function produce(q, start, times, count)
  start:wait()
  times:put(mproc.time())
  for i = 1, count do
    q:put(i)
  end
end

local function consume(q, start, times, count)
  start:wait()
  for _ = 1, count do
    q:get()
  end
  times:put(mproc.time())
end

-- Messages a second, in millions, of n producers and n consumers, from the first one's start to the end of the last.
local function crowd(n)
  local q, times, start = mproc.Queue(), mproc.Queue(), mproc.Barrier(2 * n)
  local count = MESSAGES // n
  local join_producers = start_all(n, produce, q, start, times, count)
  local join_consumers = start_all(n, consume, q, start, times, count)
  join_producers()
  join_consumers()
  local all = times:get_many(2 * n)
  table.sort(all)
  return count * n / (all[2 * n] - all[1]) / 1e6
end

series({
  title = "16 x 16 of 1 x 1, times",
  chart = "N producers and N consumers on one queue, M messages/s",
  x = "producers = consumers", y = "M messages/s", better = "more",
  xs = { 1, 2, 4, 8, 16 },
  measure = crowd,
  figure = function(at)
    return at[16] / at[1]
  end,
  reach = ">= 0.5",
  reached = function(times)
    return times >= 0.5
  end,
})

-- GB/s of strings of so many bytes from a child.
local function stream(size)
  local count = math.max(2, math.min(200000, (1 << 29) // size))
  local q, go = mproc.Queue(math.max(2, math.min(1000, (1 << 26) // size))), mproc.Queue()
  local join = start_all(1, function()
    local value = ("x"):rep(size)
    go:get()
    for _ = 1, count do
      q:put(value)
    end
  end)
  go:put(true)
  q:get()
  local began = mproc.time()
  for _ = 2, count do
    q:get()
    collectgarbage("step")
  end
  local seconds = mproc.time() - began
  join()
  return (count - 1) * size / seconds / 1e9
end

series({
  title = "1 GiB messages, GB/s",
  chart = "strings of N bytes from another process, GB/s",
  x = "bytes of a message", y = "GB/s", better = "more",
  xs = doubling(8, 1 << 30),
  measure = stream,
  rounds = 3,
  figure = function(at)
    return at[1 << 30]
  end,
})

-- The rows of the rest: costs at the largest number by those at the smallest.
local function flat(title, chart, x, xs, measure)
  series({
    title = title, chart = chart, x = x, y = "ns", better = "less", xs = xs, measure = measure, rounds = 3,
    figure = function(at)
      return at[xs[#xs]] / at[xs[1]]
    end,
    reach = "<= " .. FLAT,
    reached = function(times)
      return times <= FLAT
    end,
  })
end

-- Nanoseconds of f, called so often.
local function each(count, f)
  local began = mproc.time()
  for _ = 1, count do
    f()
  end
  return (mproc.time() - began) / count * 1e9
end

-- put and get on a queue in which n messages wait all the time.
local function at_length(n)
  local q <close> = mproc.Queue()
  for i = 1, n do
    q:put(i)
  end
  return each(200000, function()
    q:put(1)
    q:get()
  end)
end

flat("put + get, 10 M waiting, times", "put + get while N messages wait, ns",
  "messages that wait", { 1000, 10000, 100000, 1000000, 10000000 }, at_length)

-- A message that is put while none waits and taken after n - 1 others.
local function fill_and_drain(n)
  local q <close> = mproc.Queue()
  local repeats = math.max(1, 200000 // n)
  return each(repeats, function()
    for i = 1, n do
      q:put(i)
    end
    for _ = 1, n do
      q:get()
    end
  end) / n
end

flat("10 M filled and drained, times", "N messages put, then got: ns for each",
  "messages put, then got", { 1000, 10000, 100000, 1000000, 10000000 }, fill_and_drain)

local PROCESSES = { 1, 10, 100, 500, 2000 }

-- Runs measure() beside n idle processes.
local function beside_processes(measure)
  return function(n)
    local quit = mproc.Queue()
    local join = start_all(n, function()
      quit:get()
    end)
    local figure = measure()
    quit:close()
    join()
    return figure
  end
end

local function put_get()
  local q <close> = mproc.Queue()
  return each(200000, function()
    q:put(1)
    q:get()
  end)
end

local function start_join()
  return each(200, function()
    local p = mproc.Process(function() end):start()
    p:join()
    p:close()
  end)
end

flat("put + get, 2,000 processes, times", "put + get while N processes idle, ns",
  "idle processes", PROCESSES, beside_processes(put_get))
flat("start + join, 2,000 processes, times", "start + join while N processes idle, ns",
  "idle processes", PROCESSES, beside_processes(start_join))

local OBJECTS = { 1, 10, 100, 1000, 10000, 100000 }

-- Runs measure() beside n queues.
local function beside_objects(measure)
  return function(n)
    local objects = {}
    for i = 1, n do
      objects[i] = mproc.Queue()
    end
    local figure = measure()
    assert(#objects == n) -- all were alive until here
    return figure
  end
end

-- Nanoseconds to make an event and to collect it, the collector's own work apart.
local function make_drop()
  local events = {}
  local made = each(DROPPED, function()
    events[#events + 1] = mproc.Event()
  end)
  return made + each(DROPPED, function()
    getmetatable(events[#events]).__gc(events[#events])
    events[#events] = nil
  end)
end

flat("put + get, 100,000 objects, times", "put + get beside N other queues, ns",
  "objects", OBJECTS, beside_objects(put_get))
flat("make + drop, 2,000 processes, times", "make + drop an event while N processes idle, ns",
  "idle processes", PROCESSES, beside_processes(make_drop))
flat("make + drop, 100,000 objects, times", "make + drop an event beside N queues, ns",
  "objects", OBJECTS, beside_objects(make_drop))
flat("start + join, 100,000 objects, times", "start + join beside N queues, ns",
  "objects", OBJECTS, beside_objects(start_join))
