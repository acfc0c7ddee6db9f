-- SPDX-License-Identifier: MIT
-- Bytes that claim to be objects: whatever decodes can be used by every method without a crash or a wait without an
-- end. Other bytes each day; MPROC_FAULTS_COMPLETE=1 tries many more.

local program = require("spec.support.program")

local COMPLETE = os.getenv("MPROC_FAULTS_COMPLETE")
local SEEDS, COUNT = COMPLETE and 40 or 4, COMPLETE and 20000 or 4000

describe("forged bytes", function()
  for seed = 1, SEEDS do
    it(("make no object that a call could crash on (%d)"):format(seed), function()
      local today = os.time() // 86400 * SEEDS + seed
      local r = program.file("spec/faults/forged_program.lua", { today, COUNT }, { seconds = COMPLETE and 600 or 60 })
      local at = ("seed %d, at %s"):format(today, r.err:match("(%d+) *$") or "?")
      assert.is_false(r.timed_out, at)
      assert.equal(0, r.code, at)
      assert.equal("done\n", r.out, at)
    end)
  end
end)
