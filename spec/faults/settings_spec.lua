-- SPDX-License-Identifier: MIT
-- Nonsense in a setting of the environment raises, with its name and what is accepted; what is accepted works.

local program = require("spec.support.program")

local NONSENSE = {
  MPROC_ARENA = { "x", "64Q", "-1", "0", "1.5x", "G", "99999999999999999999G", "nan", "16MM", " ", "0x10" },
  MPROC_SPIN = { "yes", "-1", "2x", "nan", "1e", "on" },
  MPROC_CPU_COUNT = { "x", "0", "-3", "1.5", "nan", "99999999999999999999", "1e400", " ", "4 cpus" },
  MPROC_DEBUG = { "x", "2", "verbose", "-1" },
}
local SENSE = {
  MPROC_ARENA = { "64M", "64m", "1G", "268435456" },
  MPROC_SPIN = { "0", "1" },
  MPROC_CPU_COUNT = { "1", "3" },
  MPROC_DEBUG = { "off", "0", "1", "warning", "info", "debug" },
}

local USE = [[
  local mproc = require("mproc")
  assert(mproc.cpu_count() >= 1)
  local q = mproc.Queue()
  q:put(5)
  assert(q:get() == 5)
  local pool <close> = mproc.Pool()
  print(pool:apply(math.abs, { -3 }))
]]

local function run(name, value)
  return program.text(USE, { seconds = 20, env = program.quote(name .. "=" .. value) })
end

describe("the setting", function()
  for name, values in pairs(NONSENSE) do
    for _, value in ipairs(values) do
      it(("%s=%s raises by name"):format(name, value), function()
        local r = run(name, value)
        assert.is_false(r.timed_out)
        assert.equal(1, r.code, r.out .. r.err)
        assert.truthy(r.err:find(name, 1, true), r.err)
      end)
    end
  end
  for name, values in pairs(SENSE) do
    for _, value in ipairs(values) do
      it(("%s=%s is accepted"):format(name, value), function()
        local r = run(name, value)
        assert.equal("3\n", r.out, r.err)
        assert.equal(0, r.code, r.err)
      end)
    end
  end
end)
