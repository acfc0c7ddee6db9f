-- SPDX-License-Identifier: MIT
-- Frequencies of words and identifiers over a source tree: first serially, then with one process per CPU.
-- File names go out through one queue in batches; each worker sends one table of counts back through another.
-- Usage: lua examples/wordcount.lua [directory]

local mproc = require("mproc")

local DIRECTORY = arg and arg[1] or "/usr/include"
local BATCH = 16
local SHOWN = 10

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function list_files(directory)
  local pipe <close> = assert(io.popen("find " .. quote(directory) .. " -type f -print0 2>/dev/null"))
  local files = {}
  for name in pipe:read("a"):gmatch("[^\0]+") do
    files[#files + 1] = name
  end
  table.sort(files)
  return files
end

-- The text, or an empty one: a tree may hold files that one may not read.
local function read(name)
  local file <close> = io.open(name, "rb")
  return file and file:read("a") or ""
end

local function new_counts()
  return { identifiers = {}, words = {}, bytes = 0 }
end

local function count_file(counts, name)
  local text = read(name)
  local identifiers, words = counts.identifiers, counts.words
  for identifier in text:gmatch("[%a_][%w_]*") do
    identifiers[identifier] = (identifiers[identifier] or 0) + 1
  end
  for word in text:lower():gmatch("%a+") do
    words[word] = (words[word] or 0) + 1
  end
  counts.bytes = counts.bytes + #text
end

local function add(into, from)
  for key, n in pairs(from) do
    into[key] = (into[key] or 0) + n
  end
end

local function merge(counts, partial)
  add(counts.identifiers, partial.identifiers)
  add(counts.words, partial.words)
  counts.bytes = counts.bytes + partial.bytes
  return counts
end

local function serial(files)
  local counts = new_counts()
  for _, name in ipairs(files) do
    count_file(counts, name)
  end
  return counts
end

local function worker(work, results)
  local counts = new_counts()
  for _, batch in work:items() do
    for _, name in ipairs(batch) do
      count_file(counts, name)
    end
  end
  results:put(counts)
end

local function parallel(files, workers)
  local work, results = mproc.Queue(), mproc.Queue()
  local processes = {}
  for n = 1, workers do
    processes[n] = mproc.Process{ target = worker, args = { work, results }, name = "counter-" .. n }:start()
  end
  for first = 1, #files, BATCH do
    work:put(table.move(files, first, math.min(first + BATCH - 1, #files), 1, {}))
  end
  work:close()

  local counts = results:get()
  for _ = 2, workers do
    merge(counts, results:get())
  end
  for _, p in ipairs(processes) do
    p:join()
    p:close()
  end
  return counts
end

local function same(a, b)
  for key, n in pairs(a) do
    if b[key] ~= n then
      return false
    end
  end
  for key in pairs(b) do
    if not a[key] then
      return false
    end
  end
  return true
end

local function total(frequencies)
  local sum, distinct = 0, 0
  for _, n in pairs(frequencies) do
    sum, distinct = sum + n, distinct + 1
  end
  return sum, distinct
end

local function most_frequent(frequencies, n)
  local keys = {}
  for key in pairs(frequencies) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    local fa, fb = frequencies[a], frequencies[b]
    return fa > fb or fa == fb and a < b
  end)
  return table.move(keys, 1, math.min(n, #keys), 1, {})
end

local function timed(f, ...)
  collectgarbage()
  local began = mproc.time()
  return f(...), mproc.time() - began
end

local files = list_files(DIRECTORY)
if #files == 0 then
  io.stderr:write("no files in ", DIRECTORY, "\n")
  os.exit(1)
end
for _, name in ipairs(files) do
  read(name) -- both runs shall find the files in memory
end

-- The serial run has a process too, and its result waits in shared memory: so each run starts with an empty heap.
local serial_run = mproc.Process(function()
  return timed(serial, files)
end):start()
serial_run:join()

local workers = mproc.cpu_count()
local together, parallel_seconds = timed(parallel, files, workers)
local alone, serial_seconds = serial_run:result()
serial_run:close()

print(("%-14s %9s %7s %9s %9s"):format("way", "seconds", "files", "MB/s", "speed-up"))
local function row(way, seconds, bytes)
  print(("%-14s %9.3f %7d %9.1f %8.2fx"):format(way, seconds, #files, bytes / seconds / 1e6, serial_seconds / seconds))
end
row("serial", serial_seconds, alone.bytes)
row(workers .. " processes", parallel_seconds, together.bytes)

for _, kind in ipairs({ "identifiers", "words" }) do
  assert(same(alone[kind], together[kind]), "the two runs disagree about " .. kind)
  local sum, distinct = total(alone[kind])
  local top = most_frequent(alone[kind], SHOWN)
  for i, key in ipairs(top) do
    top[i] = key .. " " .. alone[kind][key]
  end
  print(("\n%d %s, %d different; most frequent:\n  %s"):format(sum, kind, distinct, table.concat(top, ", ")))
end
assert(alone.bytes == together.bytes)
print("\nboth runs agree")
