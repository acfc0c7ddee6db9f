-- SPDX-License-Identifier: MIT
-- A timeline that mproc trace has written, read and summed up. Used by mproc.cli.report.
--
-- A timeline: from, to (seconds), rows (a list of processes, in the order of their beginnings), waits (the longest),
-- instants, and the figures of summary(). A row: pid, name, chunks, waits (lists of { from, to, name, count }), and
-- from, to, its life as far as it shows.

local json = require("mproc.cli.json")

local timeline = {}

local LONGEST = 5 -- waits that are named
local US = 1e6

local function row_of(all, pid)
  local row = all.by_pid[pid]
  if not row then
    row = { pid = pid, name = tostring(pid), chunks = {}, waits = {}, from = math.huge, to = -math.huge }
    all.by_pid[pid] = row
    all.rows[#all.rows + 1] = row
  end
  return row
end

local function stretch(all, row, from, to)
  row.from, row.to = math.min(row.from, from), math.max(row.to, to)
  all.from, all.to = math.min(all.from, from), math.max(all.to, to)
end

local function add_stretch(all, row, event, from)
  local to = from + math.max(0, tonumber(event.dur) or 0) / US
  local box = { from = from, to = to, name = tostring(event.name), count = event.args and event.args.count, row = row }
  stretch(all, row, from, to)
  if event.cat == "chunk" then
    row.chunks[#row.chunks + 1] = box
  elseif event.cat == "wait" then
    row.waits[#row.waits + 1] = box
  end
end

local function add(all, event)
  local pid, at = math.tointeger(event.pid), tonumber(event.ts)
  if not pid or not at then
    return
  end
  local row = row_of(all, pid)
  if event.ph == "M" and event.name == "process_name" and type(event.args) == "table" then
    row.name = tostring(event.args.name)
  elseif event.ph == "X" then
    add_stretch(all, row, event, at / US)
  elseif event.ph == "i" then
    stretch(all, row, at / US, at / US)
    all.instants[#all.instants + 1] = { at = at / US, name = tostring(event.name), row = row }
  end
end

-- Of the lines, which an iterator gives: events that are none, such as a last line that was cut off, are left out. Nil
-- when there is no stretch of time at all.
function timeline.read(lines)
  local all = { from = math.huge, to = -math.huge, rows = {}, by_pid = {}, instants = {} }
  for line in lines do
    local event = json.decode((line:gsub("^%s*%[", ""):gsub("[,%]]*%s*$", "")))
    if type(event) == "table" then
      add(all, event)
    end
  end
  return all.to > all.from and all or nil
end

-- --- figures ---

local function seconds_of(boxes)
  local sum = 0
  for _, box in ipairs(boxes) do
    sum = sum + box.to - box.from
  end
  return sum
end

-- The stretches of time in which somebody runs chunks, and how many at once: f(from, to, how many).
local function each_level(rows, f)
  local edges = {}
  for _, row in ipairs(rows) do
    for _, box in ipairs(row.chunks) do
      edges[#edges + 1], edges[#edges + 2] = { box.from, 1 }, { box.to, -1 }
    end
  end
  table.sort(edges, function(a, b) return a[1] < b[1] end)
  local level, last = 0, nil
  for _, edge in ipairs(edges) do
    if last and edge[1] > last then
      f(last, edge[1], level)
    end
    level, last = level + edge[2], edge[1]
  end
end

local function workers_of(all)
  local workers = {}
  for _, row in ipairs(all.rows) do
    if #row.chunks > 0 then
      workers[#workers + 1] = row
    end
  end
  return workers
end

-- From the first worker's last chunk on until all have ended theirs: nothing was left to share.
local function imbalance_of(workers)
  local first, last = math.huge, -math.huge
  for _, row in ipairs(workers) do
    local ends = -math.huge
    for _, box in ipairs(row.chunks) do
      ends = math.max(ends, box.to)
    end
    first, last = math.min(first, ends), math.max(last, ends)
  end
  return last - first
end

local function longest_waits(all)
  local waits = {}
  for _, row in ipairs(all.rows) do
    table.move(row.waits, 1, #row.waits, #waits + 1, waits)
  end
  table.sort(waits, function(a, b) return a.to - a.from > b.to - b.from end)
  return table.move(waits, 1, LONGEST, 1, {})
end

-- Fills in: workers (those rows), working (seconds in chunks, all together), used (the share of the workers' time from
-- the first chunk to the last), serial (seconds in which at most one process ran a chunk), imbalance (seconds), chunks,
-- items, waits.
function timeline.sum_up(all)
  table.sort(all.rows, function(a, b) return a.from < b.from or a.from == b.from and a.pid < b.pid end)
  local workers, alone, first, last = workers_of(all), 0, math.huge, -math.huge
  all.workers, all.working, all.chunks, all.items, all.waits = workers, 0, 0, 0, longest_waits(all)
  each_level(workers, function(from, to, level)
    alone = alone + (level <= 1 and to - from or 0)
    first, last = math.min(first, from), math.max(last, to)
  end)
  for _, row in ipairs(workers) do
    row.working = seconds_of(row.chunks)
    all.working, all.chunks = all.working + row.working, all.chunks + #row.chunks
    for _, box in ipairs(row.chunks) do
      all.items = all.items + (tonumber(box.count) or 1)
    end
  end
  local span = last > first and last - first or 0
  all.used = span > 0 and all.working / (span * #workers) or 0
  all.serial = all.to - all.from - span + alone
  all.imbalance = #workers > 1 and imbalance_of(workers) or 0
  return all
end

return timeline
