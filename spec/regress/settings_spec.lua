-- SPDX-License-Identifier: MIT
-- Nonsense in the environment was taken for the default, silently.

local program = require("spec.support.program")

describe("an environment variable", function()
  local function loaded(env)
    return program.text('print(pcall(require, "mproc"))', { env = env }).out
  end

  it("with nonsense makes require raise, with its name and what is accepted", function()
    for _, value in ipairs({ "lots", "0", "-1", "1e3", "64GB", "99999999999999999999", "16777216T", "' 5'" }) do
      local out = loaded("MPROC_ARENA=" .. value)
      assert.truthy(out:find("^false\tMPROC_ARENA must be a size in bytes.*such as 64G, it is"), value .. ": " .. out)
    end
    for _, value in ipairs({ "no", "2", "00" }) do
      local out = loaded("MPROC_SPIN=" .. value)
      assert.truthy(out:find("^false\tMPROC_SPIN must be 0 .* or 1, it is"), value .. ": " .. out)
    end
    assert.truthy(loaded("MPROC_DEBUG=loud"):find("^false\tMPROC_DEBUG must be 1, 0, off"))
  end)

  it("is what it says, or empty", function()
    for _, env in ipairs({ "MPROC_ARENA=", "MPROC_ARENA=64m", "MPROC_ARENA=16777216", "MPROC_ARENA=8T", "MPROC_SPIN=",
      "MPROC_SPIN=0", "MPROC_SPIN=1" }) do
      assert.truthy(loaded(env):find("^true"), env)
    end
  end)
end)
