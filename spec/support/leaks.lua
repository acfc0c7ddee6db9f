-- SPDX-License-Identifier: MIT
-- After each test of a block: no child left (running or zombie), no more open files, nothing with a name in /dev/shm,
-- no more objects in the arena, and no more of its memory in use.
-- `leaks.watch()` inside a describe block is all a spec needs.

local lfs = require("lfs")

local leaks = {}

-- How long what a dying process held may take to be noticed.
local SETTLE_SECONDS = 15

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

-- Twice, so that what finalizers let go is gone as well.
function leaks.collect()
  collectgarbage()
  collectgarbage()
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
    leaks.collect()
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

-- What uses named shared memory after all would name it so; others on the machine may have theirs.
local function named_memory()
  local count = 0
  for name in lfs.dir("/dev/shm") do
    if name:find("mproc", 1, true) then
      count = count + 1
    end
  end
  return count
end

-- Bytes of the chunks in use. What is free stays resident up to a limit, which is in `hot`.
local function memory()
  return require("mproc.core").stats().used
end

local SPARE_BYTES = 256 << 10 -- queues that live longer than a test keep a segment or two to spare

local MEASURES = {
  { name = "child processes", measure = count_children, slack = 0 },
  { name = "open files", measure = leaks.open_files, slack = 0 },
  { name = "names in /dev/shm", measure = named_memory, slack = 0 },
  { name = "arena objects", measure = objects, slack = 0 },
  { name = "bytes of the arena", measure = memory, slack = SPARE_BYTES },
}

function leaks.watch()
  local busted = require("busted")
  local before

  busted.before_each(function()
    require("mproc")
    leaks.collect()
    before = {}
    for i, m in ipairs(MEASURES) do
      before[i] = m.measure()
    end
  end)

  busted.after_each(function()
    for i, m in ipairs(MEASURES) do
      local now = settle(m.measure, before[i] + m.slack)
      if now > before[i] + m.slack then
        error(("%s leaked: %d before the test, %d after it"):format(m.name, before[i], now), 0)
      end
    end
  end)
end

return leaks
