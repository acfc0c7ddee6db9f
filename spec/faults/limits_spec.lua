-- SPDX-License-Identifier: MIT
-- Every parameter that is a number, with values near the limits of what C and Lua hold it in: right, or refused by name
-- at the caller's line; never a crash, never a wait without an end. A third of the values each day; all of them with
-- MPROC_FAULTS_COMPLETE=1. MPROC_FAULTS_PENDING=1 runs those as well that are known to fail.

local program = require("spec.support.program")

-- Name -> why that is known not to hold.
local BROKEN = {
}

local SHARES = 3
local COMPLETE = os.getenv("MPROC_FAULTS_COMPLETE")
local ENV = "MPROC_ARENA=256M"

local function check(name)
  local share = COMPLETE and {} or { SHARES, os.time() // 86400 % SHARES + 1 }
  local r = program.file("spec/faults/limits/run.lua", { name, share[1], share[2] }, { seconds = 60, env = ENV })
  if r.timed_out or r.code ~= 0 then
    error(("%s %s\n%s"):format(r.timed_out and "hangs" or "ends with status " .. r.code,
      r.err:match(".*(at [^\n]*)\n") or "", r.out .. r.err), 0)
  elseif r.out ~= "done\n" then
    error(r.out, 0)
  end
end

describe("a number near a limit as", function()
  local names = {}
  for _, file in ipairs({ "calls", "containers", "outside" }) do
    for name in pairs(require("spec.faults.limits." .. file)) do names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local reason = not os.getenv("MPROC_FAULTS_PENDING") and BROKEN[name]
    local test = reason and pending or it
    test(reason and name .. ": " .. reason or name, function() check(name) end)
  end
end)
