-- SPDX-License-Identifier: MIT
-- Word count without merging: all processes count into one Dict, and take the files' names from one List.
-- Usage: lua examples/shared_wordcount.lua [directory]

local mproc = require("mproc")

local DIRECTORY = arg and arg[1] or "/usr/include"
local SHOWN = 5

local function words_of(name)
  local file <close> = io.open(name, "rb")
  return (file and file:read("a") or ""):lower():gmatch("%a+")
end

-- What one file has is counted here first: a shared count costs a lock, a local one does not.
local function count_files(files, counts)
  for name in function() return files:pop() end do
    local here = {}
    for word in words_of(name) do
      here[word] = (here[word] or 0) + 1
    end
    for word, n in pairs(here) do
      counts:add(word, n)
    end
  end
end

local quoted = "'" .. DIRECTORY:gsub("'", "'\\''") .. "'"
local names <close> = assert(io.popen("find " .. quoted .. " -type f 2>/dev/null"))
local files, counts, nfiles = assert(mproc.List()), assert(mproc.Dict()), 0
for name in names:lines() do
  files:append(name)
  nfiles = nfiles + 1
end

local processes = {}
for i = 1, mproc.cpu_count() do
  processes[i] = mproc.Process(count_files, files, counts):start()
end
for _, p in ipairs(processes) do
  p:result()
end

local words, total = {}, 0
for word, n in pairs(counts) do
  words[#words + 1], total = { word, n }, total + n
end
table.sort(words, function(a, b)
  return a[2] > b[2] or a[2] == b[2] and a[1] < b[1]
end)
print(("%d files, %d words, %d different"):format(nfiles, total, #words))
for i = 1, math.min(SHOWN, #words) do
  print(("%-12s %d"):format(words[i][1], words[i][2]))
end
