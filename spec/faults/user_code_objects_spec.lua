-- SPDX-License-Identifier: MIT
-- Each thing that a program's own function may do, in each place outside of pools where mproc calls one: the call that
-- caused it has its own error or right results, nothing stays held, and the next call works. A twelfth of them, another
-- each day; with MPROC_FAULTS_COMPLETE=1 all.

local acts = require("spec.faults.user_code.acts")
local places = require("spec.faults.user_code.objects")
local judge = require("spec.faults.user_code.judge")
local program = require("spec.support.program")
local turns = require("spec.faults.user_code.turns")

-- How a program ends whose own process leaves.
local STATUS = { ["calls os.exit"] = acts.STATUS, ["becomes another program"] = 0, ["kills itself"] = 137 }

local is_turn = turns.new(12)

local function acts_for(place)
  local names = turns.sorted(acts.raising)
  table.move(turns.sorted(acts.leaving), 1, 3, #names + 1, names)
  if place.child then
    table.move(turns.sorted(acts.nested), 1, 4, #names + 1, names)
  else
    table.move({ "yields and goes on", "yields and is closed", "yields and is dropped", "uses the same", "closes it" },
      1, 5, #names + 1, names)
  end
  return names
end

local function check(place, act)
  local r = program.file("spec/faults/user_code/run_object.lua", { place, act }, { seconds = 25 })
  judge(r, not places[place].child and STATUS[act])
end

describe("outside of pools", function()
  for _, place in ipairs(turns.sorted(places)) do
    for _, act in ipairs(acts_for(places[place])) do
      if is_turn() then
        it(("%s %s"):format(place, act), function() check(place, act) end)
      end
    end
  end
end)
