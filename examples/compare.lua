-- SPDX-License-Identifier: MIT
-- The same job done one after the other, in coroutines, and on several cores: only processes make it faster.
-- Usage: lua examples/compare.lua [passes]

local mproc = require("mproc")

local PASSES = tonumber(arg and arg[1]) or 10
local SIZE = 2000000 -- its cube is still an integer
local MODULUS = 1000003
local PARTS = math.max(2, mproc.cpu_count())

local function job(part)
  local sum = 0
  for _ = 1, PASSES do
    for i = part, SIZE, PARTS do
      sum = sum + (i + i * i + i * i * i) % MODULUS
    end
  end
  return sum
end

local function normally()
  local total = 0
  for part = 1, PARTS do
    total = total + job(part)
  end
  return total
end

local function as_coroutines()
  local running = {}
  for part = 1, PARTS do
    running[part] = coroutine.create(job)
  end
  local total = 0
  for part, co in ipairs(running) do
    local _, sum = assert(coroutine.resume(co, part))
    total = total + sum
  end
  return total
end

local function on_several_cores()
  local running = {}
  for part = 1, PARTS do
    running[part] = mproc.Process(job, part):start()
  end
  local total = 0
  for _, p in ipairs(running) do
    total = total + p:result()
  end
  return total
end

local function timed(f)
  local began = mproc.time()
  return f(), mproc.time() - began
end

local ways = { { "normally", normally }, { "coroutines", as_coroutines }, { PARTS .. " processes", on_several_cores } }
local expected, serial

print(("%-14s %24s %10s %9s"):format("way", "total", "seconds", "speed-up"))
for _, way in ipairs(ways) do
  local total, seconds = timed(way[2])
  expected, serial = expected or total, serial or seconds
  assert(total == expected, "the totals differ")
  print(("%-14s %24d %10.3f %8.2fx"):format(way[1], total, seconds, serial / seconds))
end
print("the totals are equal")
