-- SPDX-License-Identifier: MIT
-- What is measured of a Dict of many integers, in an interpreter of its own: prints one number.
-- Usage: dict_side.lua JOB

local mproc = require("mproc")

local MANY = 4000000

-- Bytes of the arena that are in memory, what is free but kept among them.
local function resident()
  local bytes, arena = 0, false
  for line in io.lines("/proc/self/smaps") do
    if line:find("^%x+%-%x+ ") then
      arena = line:find("memfd:mproc", 1, true) ~= nil
    end
    bytes = bytes + (arena and (tonumber(line:match("^Rss: +(%d+) kB")) or 0) * 1024 or 0)
  end
  return bytes
end

local function fill(d)
  for i = 1, MANY do
    d:set(i, i)
  end
end

local jobs = {}

-- Bytes for each entry.
function jobs.entry()
  local d, before = mproc.Dict(), resident()
  fill(d)
  return (resident() - before) / MANY
end

-- The longest of all sets, in ms of CPU.
function jobs.worst_set()
  local d, clock, worst = mproc.Dict(), os.clock, 0
  local last = clock()
  for i = 1, MANY do
    d:set(i, i)
    local now = clock()
    worst = math.max(worst, now - last)
    last = now
  end
  return worst * 1e3
end

-- KiB of tables that are left of a Dict when all its entries are gone.
function jobs.drained()
  local d = mproc.Dict()
  fill(d)
  for i = 1, MANY do
    d[i] = nil
  end
  return d:stats().bytes / 1024
end

function jobs.empty()
  return mproc.Dict():stats().bytes / 1024
end

print(jobs[arg[1]]())
