-- SPDX-License-Identifier: MIT
-- Claim: `imap` over the short lines of a file, at chunks that it chooses itself, beside the loop that it replaces. The
-- task, #line, costs nothing: all that is seen is what a pool adds to reading the file. In millions of lines a second.

local harness = require("bench.harness")
local mproc = require("mproc")

local LINES, WORKERS = 1000000, 2

local path = os.tmpname()

local function write_lines()
  local file <close> = assert(io.open(path, "w"))
  for i = 1, LINES do
    file:write("line ", i, " of many\n")
  end
end

local function length(line)
  return #line
end

local function serial()
  local began, sum = mproc.time(), 0
  for line in io.lines(path) do
    sum = sum + length(line)
  end
  return LINES / (mproc.time() - began) / 1e6, sum
end

local function parallel(expected)
  local pool <close> = mproc.Pool(WORKERS)
  pool:map(length, { "", "" })
  local began, sum = mproc.time(), 0
  for _, n in pool:imap(length, io.lines(path)) do
    sum = sum + n
  end
  assert(sum == expected)
  return LINES / (mproc.time() - began) / 1e6
end

write_lines()
local _, expected = serial()
harness.run({
  title = "imap of io.lines, M lines/s",
  better = "more",
  mproc = function() return parallel(expected) end,
  python = harness.python("imap_lines", path),
  peers = {
    { name = "serial loop", version = _VERSION, run = serial },
    harness.peer("mce", "imap_lines", path),
  },
  reach = ">= 1 x serial",
  reached = function(found)
    return found.sides["serial loop"].ratio.median >= 1
  end,
})
os.remove(path)
