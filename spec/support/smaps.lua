-- SPDX-License-Identifier: MIT
-- How much of a process's memory is its own: what /proc/PID/smaps says of its anonymous ranges. For specs and bench/.

local smaps = {}

local FIELDS = { Rss = "rss", Private_Dirty = "dirty" }

-- Each range: { from, to, rss, dirty }, in bytes; dirty is Private_Dirty. Files' ranges and the arena are left out.
function smaps.anonymous(pid)
  local file <close> = assert(io.open(("/proc/%s/smaps"):format(pid or "self")))
  local ranges, anonymous = {}, false
  for line in file:lines() do
    local from, to, inode = line:match("^(%x+)%-(%x+) %S+ %x+ %S+ (%d+)")
    if from then
      anonymous = inode == "0"
    end
    if from and anonymous then
      table.insert(ranges, { from = tonumber(from, 16), to = tonumber(to, 16), rss = 0, dirty = 0 })
    end
    local key, kib = line:match("^([%a_]+): +(%d+) kB")
    local field = anonymous and FIELDS[key]
    if field then
      ranges[#ranges][field] = kib * 1024
    end
  end
  return ranges
end

local function total(ranges, key)
  local sum = 0
  for _, range in ipairs(ranges) do
    sum = sum + range[key]
  end
  return sum
end

local function overlaps(range, others)
  for _, other in ipairs(others) do
    if range.from < other.to and other.from < range.to then
      return true
    end
  end
  return false
end

-- Of the ranges `before`, which a parent had when it forked: the bytes that its child has pages of its own for by now,
-- and all bytes that were there.
function smaps.copied(before, pid)
  local inherited = {}
  for _, range in ipairs(smaps.anonymous(pid)) do
    if overlaps(range, before) then
      inherited[#inherited + 1] = range
    end
  end
  return total(inherited, "dirty"), total(before, "rss")
end

return smaps
