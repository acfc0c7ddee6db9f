-- SPDX-License-Identifier: MIT
-- Makes a test of each place of one side with each act that may befall there: a third of them, another each day; with
-- MPROC_FAULTS_COMPLETE=1 all. MPROC_FAULTS_PENDING=1 runs those as well that are known to fail.

local busted = require("busted")
local acts = require("spec.faults.user_code.acts")
local places = require("spec.faults.user_code.places")
local judge = require("spec.faults.user_code.judge")
local program = require("spec.support.program")
local turns = require("spec.faults.user_code.turns")

local KINDS = {
  worker = { "raising", "leaving", "nested" },
  owner = { "raising", "using", "ending", "yielding", "leaving" },
}

local is_turn = turns.new(3)

-- How a program ends whose pool's owner leaves.
local STATUS = { ["calls os.exit"] = acts.STATUS, ["becomes another program"] = 0, ["kills itself"] = 137 }

local function check(side, place, act, serial)
  local r = program.file("spec/faults/user_code/run.lua", { place, act, serial }, { seconds = 25 })
  judge(r, (side == "owner" or serial) and STATUS[act])
end

-- broken(place, act) -> the reason why that is known not to hold yet, or nil.
return function(side, broken, serial)
  for _, place in ipairs(turns.sorted(places)) do
    for _, kind in ipairs(places[place].side == side and KINDS[side] or {}) do
      for _, act in ipairs(turns.sorted(acts[kind])) do
        local reason = not os.getenv("MPROC_FAULTS_PENDING") and broken(place, act)
        local name = ("%s %s"):format(place, act)
        if is_turn() then
          busted[reason and "pending" or "it"](reason and name .. ": " .. reason or name, function()
            check(side, place, act, serial)
          end)
        end
      end
    end
  end
end
