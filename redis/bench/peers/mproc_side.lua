-- SPDX-License-Identifier: MIT
-- mproc's side of bench/peers.lua: mproc_side.lua URL rate|trip|map|chunks N

local mproc = require("mproc")
local tasks = require("redis.spec.support.tasks")

local url, what, n = arg[1], arg[2], math.tointeger(tonumber(arg[3]))
local pool <close> = mproc.Pool{ url = url }
assert(pool:apply(tasks.double, { 1 }) == 2)
while #pool:workers() < 2 do
  pool:step(0.05)
end

local function timed(f)
  local began = mproc.time()
  f()
  return mproc.time() - began
end

local function numbers()
  local list = {}
  for i = 1, n do
    list[i] = i
  end
  return list
end

local ways = {}

-- A message a task.
function ways.rate()
  print(n / timed(function()
    local futures = {}
    for i = 1, n do
      futures[i] = pool:submit(tasks.double, i)
    end
    for i = 1, n do
      assert(futures[i]:get() == 2 * i)
    end
  end))
end

function ways.trip()
  local times = {}
  for i = 1, n do
    times[i] = timed(function() pool:apply(tasks.double, { i }) end)
  end
  table.sort(times)
  print(times[n // 2 + 1])
end

-- Tiny items, as they come.
function ways.map()
  local list = numbers()
  pool:map(tasks.double, list) -- the first one learns how long items take
  print(n / timed(function()
    local doubled = pool:map(tasks.double, list)
    assert(doubled[n] == 2 * n)
  end))
end

-- The same, by a pool that knows nothing yet.
function ways.first_map()
  local list = numbers()
  print(n / timed(function() pool:map(tasks.double, list) end))
end

-- Items of a millisecond.
function ways.slow()
  local list = {}
  for i = 1, n do
    list[i] = 0.001
  end
  print(n / timed(function() pool:map(tasks.nap, list) end))
end

ways[what]()
