-- SPDX-License-Identifier: MIT
-- Makes a test of each scenario of a group. MPROC_FAULTS_COMPLETE=1 tries every instruction instead of some,
-- MPROC_FAULTS_POINTS=n so many.

local busted = require("busted")
local program = require("spec.support.program")

local COMPLETE = os.getenv("MPROC_FAULTS_COMPLETE") ~= nil
local POINTS = tonumber(os.getenv("MPROC_FAULTS_POINTS"))
local SECONDS = COMPLETE and 3600 or 60

-- What is wrong, in words; nil when nothing is.
local function trouble(r)
  if r.timed_out or r.code ~= 0 or not r.out:find("done\n$") then
    local at = r.err:match(".*(at [^\n]*)\n")
    local how = r.timed_out and "hangs" or "ends with status " .. r.code
    return ("%s %s\n%s%s"):format(how, at or "before", r.out, r.err)
  end
  return r.out ~= "done\n" and r.out or nil
end

-- group: a file of this folder; points: how many steps of each manner are tried; broken: name -> reason, or [1] for
-- all, of those that are known not to hold yet.
return function(group, points, broken)
  local names = {}
  for name in pairs(require("spec.faults.raise." .. group)) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local reason = not os.getenv("MPROC_FAULTS_PENDING") and broken and (broken[name] or broken[1])
    busted[reason and "pending" or "it"](reason and name .. ": " .. reason or name,
      function()
        local r = program.file("spec/faults/raise/run.lua", { group, name, COMPLETE and 0 or POINTS or points },
          { seconds = SECONDS })
        local wrong = trouble(r)
        if wrong then error(wrong, 0) end
      end)
  end
end
