-- SPDX-License-Identifier: MIT
-- A program that finds mproc by a relative path changed its directory; the first pool could not be loaded from there.

local program = require("spec.support.program")

describe("a pool", function()
  it("can be made after the directory was changed", function()
    local result = program.text([[
      local mproc = require("mproc")
      assert(require("lfs").chdir("/"))
      local pool <close> = mproc.Pool(1)
      print(pool:submit(math.abs, -1):get())
      print(#mproc.wait_all({ pool:submit(math.abs, -1) }))
    ]], { seconds = 20 })
    assert.same({ "1\n1\n", "" }, { result.out, result.err })
  end)
end)
