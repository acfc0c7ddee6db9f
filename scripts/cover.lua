-- SPDX-License-Identifier: MIT
-- cover.lua BUILD LEAST: which share of the lines has run, per folder: C by gcov's counts below BUILD/obj, Lua by the
-- files that ctest/modules/linehits.c writes below BUILD/lines. Fails when src/shm, src/codec or lua/mproc, with all
-- folders below, is under LEAST percent.

local build, least = arg[1], tonumber(arg[2])
local HELD = { "src/shm", "src/codec", "lua/mproc" }

local folders, files = {}, {}

local function add(sums, name, ran, all)
  local sum = sums[name] or { ran = 0, all = 0 }
  sums[name] = sum
  sum.ran, sum.all = sum.ran + ran, sum.all + all
end

local function count(file, ran, all)
  add(folders, file:match("^(.*)/"), ran, all)
  files[#files + 1] = { name = file, ran = ran, all = all }
end

local function lines_of(command)
  local pipe <close> = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do
    list[#list + 1] = line
  end
  return list
end

-- gcov says "File 'src/shm/x.c'", then "Lines executed:93.10% of 58".
local function count_c()
  for _, path in ipairs(lines_of(("find %s/obj/src -name '*.gcno' | sort"):format(build))) do
    local file
    for _, line in ipairs(lines_of(("gcov -n %s 2>/dev/null"):format(path))) do
      file = line:match("^File '(src/.*%.c)'") or (not line:match("^File") and file or nil)
      local share, all = line:match("^Lines executed:([%d.]+)%% of (%d+)")
      if file and share then
        count(file, math.floor(share * all / 100 + 0.5), tonumber(all))
        file = nil
      end
    end
  end
end

-- The lines that have code, by the compiler's listing. The return behind a function's last statement, which may never
-- be reached, stands on its "end": no line of its own.
local function code_lines(file)
  local code, last = {}, nil
  for _, line in ipairs(lines_of("luac5.4 -l -p " .. file)) do
    local number, op = line:match("^\t%d+\t%[(%d+)%]\t([A-Z0-9]+)")
    if number then
      code[#code + 1] = { tonumber(number), op }
      last = #code
    elseif last then -- the next function begins
      if code[last][2]:match("^RETURN") then code[last] = nil end
      last = nil
    end
  end
  if last and code[last][2]:match("^RETURN") then code[last] = nil end
  local set = {}
  for _, c in pairs(code) do
    if c[2] ~= "VARARGPREP" then set[c[1]] = true end
  end
  return set
end

local function count_lua()
  for _, file in ipairs(lines_of("find lua/mproc -name '*.lua'")) do
    local hits = io.open(("%s/lines/%s.hits"):format(build, (file:gsub("/", "%%"))), "rb")
    local bytes = hits and hits:read("a") or ""
    if hits then hits:close() end
    local ran, all, missing = 0, 0, {}
    for line in pairs(code_lines(file)) do
      all = all + 1
      if bytes:byte(line + 1) == 1 then
        ran = ran + 1
      else
        missing[#missing + 1] = line
      end
    end
    table.sort(missing)
    count(file, ran, all)
    files[#files].missing = table.concat(missing, " ")
  end
end

count_c()
count_lua()

print("least covered:")
table.sort(files, function(a, b) return a.ran / a.all < b.ran / b.all end)
for i = 1, math.min(20, #files) do
  local f = files[i]
  print(("  %5.1f %%  %4d of %4d lines  %s  %s"):format(100 * f.ran / f.all, f.ran, f.all, f.name, f.missing or ""))
end

local function print_sums(title, sums)
  local names = {}
  for name in pairs(sums) do names[#names + 1] = name end
  table.sort(names)
  print(title)
  for _, name in ipairs(names) do
    local sum = sums[name]
    print(("  %5.1f %%  %4d of %4d lines  %s"):format(100 * sum.ran / sum.all, sum.ran, sum.all, name))
  end
end

local held = {}
for name, sum in pairs(folders) do
  for _, top in ipairs(HELD) do
    if (name .. "/"):sub(1, #top + 1) == top .. "/" then
      add(held, top, sum.ran, sum.all)
    end
  end
end
print_sums("by folder:", folders)
print_sums(("held to %g %%:"):format(least), held)

local failed = false
for _, top in ipairs(HELD) do
  local sum = held[top] or { ran = 0, all = 1 }
  if 100 * sum.ran < least * sum.all then
    failed = true
    print("TOO LITTLE of " .. top)
  end
end
os.exit(not failed)
