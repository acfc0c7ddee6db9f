-- SPDX-License-Identifier: MIT
-- A summary of a web server's log in Combined Log Format. The file may be larger than memory: imap reads a bounded
-- window of lines ahead, workers parse them, and what is wrong with a line says so with its number.
-- Usage: lua examples/pool_weblog.lua [access.log]   Without a file it writes one of 100,000 lines, and removes it.

local mproc = require("mproc")

local FORMAT = '%s - - [%02d/Nov/2026:%02d:%02d:%02d +0000] "%s %s HTTP/1.1" %d %d "-" "Mozilla/5.0"\n'
local SHOWN = 3

local function write_log(name, lines)
  local paths = { "/", "/index.html", "/style.css", "/api/items", "/api/items/7", "/favicon.ico" }
  local file <close> = assert(io.open(name, "w"))
  for i = 1, lines do
    local status = i % 50 == 0 and 404 or i % 333 == 0 and 500 or 200
    file:write(FORMAT:format(("10.0.%d.%d"):format(i % 7, i % 251), 1 + i % 28, i % 24, i % 60, i % 59,
      i % 11 == 0 and "POST" or "GET", paths[1 + i % #paths], status, i % 5000))
  end
  file:write("this is no line of a log\n")
end

local function parse(line)
  local host, path, status, bytes = line:match('^(%S+) %S+ %S+ %[[^%]]+%] "%u+ (%S+) [^"]*" (%d+) (%S+)')
  if not host then
    error("not a log line: " .. line, 0)
  end
  return { host = host, path = path, status = status, bytes = math.tointeger(bytes) or 0 }
end

local name = arg and arg[1]
local made = not name
if made then
  name = os.tmpname()
  write_log(name, 100000)
end

local pool <close> = mproc.Pool()
local hits, statuses, bytes, lines, bad = {}, {}, 0, 0, {}
local entries <const> = pool:imap(parse, io.lines(name))
while true do
  local ok, index, entry = pcall(entries)
  if ok and not index then
    break
  end
  lines = lines + 1
  if ok then
    hits[entry.path] = (hits[entry.path] or 0) + 1
    statuses[entry.status] = (statuses[entry.status] or 0) + 1
    bytes = bytes + entry.bytes
  else
    bad[#bad + 1] = ("line %d: %s"):format(lines, index:match("[^\n]+"))
  end
end

local function top(counts)
  local keys = {}
  for key in pairs(counts) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b) return counts[a] > counts[b] or counts[a] == counts[b] and a < b end)
  for i, key in ipairs(keys) do
    keys[i] = key .. " " .. counts[key]
  end
  return table.concat(keys, ", ", 1, math.min(SHOWN, #keys))
end

print(("%d lines, %d bytes sent"):format(lines, bytes))
print("status: " .. top(statuses))
print("paths:  " .. top(hits))
print(("%d bad lines"):format(#bad), bad[1] or "")
if made then
  os.remove(name)
end
