-- SPDX-License-Identifier: MIT
-- A pool over several machines, all of them this one: a server of its own on a free port, two worker programs, the
-- words of a source tree counted by them, and one of the two killed in the middle. Prints a table, checks the totals.
-- Usage: make demo-cluster [DIR=directory]

local mproc = require("mproc")
local socket = require("socket")
local word_counts = require("word_counts")

local DIRECTORY = arg and arg[1] or "/usr/include"
local LUA = os.getenv("LUA") or "lua5.4"
local BATCH = 64 -- files
local LEASE = 2 -- seconds after which others take over what a killed worker had; 6 unless one says otherwise

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read("a"):gsub("%s+$", ""))
end

-- Starts a program that ends when this one does, and gives its process.
local function start(name, command, ...)
  local words = { ... }
  return mproc.Process{
    name = name, daemon = true,
    target = function()
      os.execute(("exec %s %s"):format(command, table.concat(words, " ")))
    end,
  }:start()
end

-- --- the parts ---

local folder = output_of("mktemp -d")
local port = math.tointeger(tonumber((select(2, assert(socket.bind("127.0.0.1", 0)):getsockname()))))
local url = ("redis://127.0.0.1:%d/0?queue=words"):format(port)

local function end_all(list)
  for _, p in ipairs(list) do
    p:terminate({ tree = true })
  end
  for _, p in ipairs(list) do
    p:join()
  end
  os.execute("rm -rf " .. quote(folder))
end

local function list_batches()
  local batches, all = {}, 0
  for name in output_of("find " .. quote(DIRECTORY) .. " -type f -print0 2>/dev/null | sort -z"):gmatch("[^\0]+") do
    local last = batches[#batches]
    if not last or #last == BATCH then
      last = {}
      batches[#batches + 1] = last
    end
    last[#last + 1] = name
    all = all + 1
  end
  return batches, all
end

local function merge(into, from)
  for _, kind in ipairs({ "identifiers", "words" }) do
    for key, n in pairs(from[kind]) do
      into[kind][key] = (into[kind][key] or 0) + n
    end
  end
  into.bytes = into.bytes + from.bytes
end

local function new_counts()
  return { identifiers = {}, words = {}, bytes = 0 }
end

-- --- the two runs ---

local function serial(batches)
  local counts, began = new_counts(), mproc.time()
  for _, batch in ipairs(batches) do
    merge(counts, word_counts.count(batch))
  end
  return counts, mproc.time() - began
end

-- Kills the first worker program once a third is counted.
local function by_workers(batches, workers)
  local counts, done, killed = new_counts(), 0, nil
  local pool <close> = mproc.Pool{ url = url }
  pool:each(word_counts.count, {}) -- nothing; but whoever works is there
  while #pool:workers() < 2 do
    pool:step(0.05)
  end
  local began = mproc.time()
  for _, partial in pool:imap_unordered(word_counts.count, batches, 1) do
    merge(counts, partial)
    done = done + 1
    if not killed and done >= #batches / 3 then
      workers[1]:kill({ tree = true })
      killed = done
    end
  end
  return counts, mproc.time() - began, killed
end

local function check(alone, together)
  for _, kind in ipairs({ "identifiers", "words" }) do
    local sum, distinct, others = 0, 0, 0
    for key, n in pairs(alone[kind]) do
      assert(together[kind][key] == n, "the two runs disagree about " .. key)
      sum, distinct = sum + n, distinct + 1
    end
    for _ in pairs(together[kind]) do
      others = others + 1
    end
    assert(others == distinct, "the two runs disagree about the number of " .. kind)
    print(("%d %s, %d different"):format(sum, kind, distinct))
  end
  assert(alone.bytes == together.bytes)
end

local batches, files = list_batches()
if files == 0 then
  io.stderr:write("no files in ", DIRECTORY, "\n")
  os.exit(1)
end

local server = start("server", "redis-server", "--port", port, "--bind 127.0.0.1 --save '' --appendonly yes",
  "--maxmemory-policy noeviction --dir", folder, "--logfile", folder .. "/log")
local workers = {}
for i = 1, 2 do
  workers[i] = start("worker-" .. i, LUA, "bin/mproc worker", quote(url), "-j 1 --lease", LEASE,
    "--allow 'word_counts.*'")
end

local ok, err = xpcall(function()
  local alone, alone_seconds = serial(batches)
  local together, seconds, killed = by_workers(batches, workers)
  print(("%-22s %9s %7s %9s"):format("way", "seconds", "files", "MB/s"))
  print(("%-22s %9.3f %7d %9.1f"):format("serial", alone_seconds, files, alone.bytes / alone_seconds / 1e6))
  print(("%-22s %9.3f %7d %9.1f"):format("2 workers, 1 killed", seconds, files, together.bytes / seconds / 1e6))
  print(("\nworker 1 was killed after %d of %d batches; what it had in hand was run again\n"):format(killed, #batches))
  check(alone, together)
  print("\nboth runs agree: every file was counted once")
end, debug.traceback)
end_all({ workers[1], workers[2], server })
if not ok then
  io.stderr:write(err, "\n")
  os.exit(1)
end
