-- SPDX-License-Identifier: MIT
-- Word count by a pool: each file is a task, and the workers combine their counts before they send them.
-- Usage: lua examples/pool_wordcount.lua [directory]

local mproc = require("mproc")

local DIRECTORY = arg and arg[1] or "/usr/include"
local SHOWN = 5

local function count_file(name)
  local counts = {}
  local file <close> = io.open(name, "rb")
  for word in (file and file:read("a") or ""):lower():gmatch("%a+") do
    counts[word] = (counts[word] or 0) + 1
  end
  return counts
end

local function add(a, b)
  for word, n in pairs(b) do
    a[word] = (a[word] or 0) + n
  end
  return a
end

local quoted = "'" .. DIRECTORY:gsub("'", "'\\''") .. "'"
local names <close> = assert(io.popen("find " .. quoted .. " -type f 2>/dev/null"))
local files = {}
for name in names:lines() do
  files[#files + 1] = name
end

local pool <close> = mproc.Pool()
local counts = pool:reduce(count_file, files, add, {})

local words, total = {}, 0
for word, n in pairs(counts) do
  words[#words + 1], total = word, total + n
end
table.sort(words, function(a, b)
  return counts[a] > counts[b] or counts[a] == counts[b] and a < b
end)
print(("%d files, %d words, %d different"):format(#files, total, #words))
for i = 1, math.min(SHOWN, #words) do
  print(("%-12s %d"):format(words[i], counts[words[i]]))
end
