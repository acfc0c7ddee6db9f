-- SPDX-License-Identifier: MIT
-- After each test of a block: no child left (running or zombie), no more open files, no more objects in the arena.
-- `leaks.watch()` inside a describe block is all a spec needs.

local lfs = require("lfs")

local leaks = {}

-- How long what a dying process held may take to be noticed.
local SETTLE_SECONDS = 5

local function own_pid()
  local file <close> = assert(io.open("/proc/self/stat"))
  return file:read("n")
end

function leaks.children()
  local list = {}
  local pid = own_pid()
  local file <close> = assert(io.open(("/proc/%d/task/%d/children"):format(pid, pid)))
  for child in file:read("a"):gmatch("%d+") do
    list[#list + 1] = child
  end
  return list
end

-- The listing's own descriptor is open in every count alike.
function leaks.open_files()
  local count = 0
  for _ in lfs.dir("/proc/self/fd") do
    count = count + 1
  end
  return count
end

local function objects()
  return require("mproc.core").stats().objects
end

local function settle(measure, limit)
  local sleep = require("mproc").sleep
  local now = require("mproc").time
  local deadline = now() + SETTLE_SECONDS
  local found
  repeat
    collectgarbage()
    collectgarbage()
    found = measure()
    if found <= limit then
      return found
    end
    sleep(0.01)
  until now() > deadline
  return found
end

local function count_children()
  return #leaks.children()
end

local MEASURES = {
  { name = "child processes", measure = count_children },
  { name = "open files", measure = leaks.open_files },
  { name = "arena objects", measure = objects },
}

function leaks.watch()
  local busted = require("busted")
  local before

  busted.before_each(function()
    require("mproc")
    collectgarbage()
    collectgarbage()
    before = {}
    for i, m in ipairs(MEASURES) do
      before[i] = m.measure()
    end
  end)

  busted.after_each(function()
    for i, m in ipairs(MEASURES) do
      local now = settle(m.measure, before[i])
      if now > before[i] then
        error(("%s leaked: %d before the test, %d after it"):format(m.name, before[i], now), 0)
      end
    end
  end)
end

return leaks
