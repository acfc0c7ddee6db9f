-- SPDX-License-Identifier: MIT
-- Finalizers and hooks of the codec use the same pool, queue, lock, containers or processes at any allocation:
-- everything comes to what it comes to without them. MPROC_FAULTS_COMPLETE=1 goes on for longer.

local program = require("spec.support.program")

local SECONDS = os.getenv("MPROC_FAULTS_COMPLETE") and 60 or 2

describe("finalizers and hooks that use", function()
  for what, text in pairs({ pool = "the same pool", queue = "the same queue", sync = "the same locks and numbers",
    process = "processes", container = "the same containers" }) do
    for _, mode in ipairs({ "generational", "incremental" }) do
      it(("%s, %s"):format(text, mode), function()
        local r = program.file("spec/faults/finalizers_program.lua", { what, mode, SECONDS },
          { seconds = SECONDS + 50 })
        assert.is_false(r.timed_out, r.out .. r.err)
        assert.equal("done\n", r.out, r.err)
        assert.equal(0, r.code, r.err)
      end)
    end
  end
end)
