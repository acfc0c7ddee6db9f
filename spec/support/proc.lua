-- SPDX-License-Identifier: MIT
-- What /proc knows about another process: the way a test waits for a state instead of sleeping.

local mproc = require("mproc")

local proc = {}

local DEADLINE = 20

-- "R", "S", "Z" …; nil when there is no such process.
function proc.state(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid))
  return file and (file:read("a") or ""):match("^%d+ %(.*%) (%a)")
end

function proc.until_true(check, what)
  local deadline = mproc.time() + DEADLINE
  while not check() do
    if mproc.time() > deadline then
      error("never happened: " .. what, 2)
    end
    mproc.sleep(0.002)
  end
end

-- Waits until the process sleeps in the kernel, seen several times in a row (a spinning wait passes first).
function proc.wait_asleep(pid)
  local seen = 0
  proc.until_true(function()
    seen = proc.state(pid) == "S" and seen + 1 or 0
    return seen >= 5
  end, "process " .. pid .. " asleep")
end

return proc
