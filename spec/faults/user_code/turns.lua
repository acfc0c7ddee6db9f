-- SPDX-License-Identifier: MIT
-- Which tests of a large table are run: a share of them, another each day; with MPROC_FAULTS_COMPLETE=1 all.

local turns = {}

local COMPLETE = os.getenv("MPROC_FAULTS_COMPLETE")

-- A function that says, test after test, whether it is its turn: one of so many shares.
function turns.new(shares)
  local turn, today = 0, os.time() // 86400
  return function()
    turn = turn + 1
    return COMPLETE or (turn + today) % shares == 0
  end
end

function turns.sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

return turns
