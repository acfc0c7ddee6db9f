-- SPDX-License-Identifier: MIT
-- In a full arena a worker tried for ever to take a task, where all other calls give up after some seconds: apply, get
-- and map waited without an end.

local program = require("spec.support.program")

describe("a pool in a full arena", function()
  it("fails its tasks, says so, and goes on once there is room", function()
    local r = program.text([[
      local mproc = require("mproc")
      local pool = mproc.Pool(2)
      pool:map(math.abs, { 1, 2, 3, 4 })
      local filling, size = {}, 8 << 20
      collectgarbage()
      collectgarbage()
      collectgarbage("stop")
      while size >= 4096 do
        local array = mproc.Array("uint8", size - 1096)
        filling[#filling + 1] = array
        size = array and size or size // 2
      end
      local sent, future = pcall(pool.submit, pool, math.abs, 1)
      local err = sent and future:exception(50) or future
      print(err ~= "timeout" and tostring(err):find("arena") and "the arena is named" or tostring(err))
      filling = nil
      collectgarbage()
      collectgarbage()
      print(pool:apply(math.abs, { -5 }), pool:map(math.abs, { -6 })[1], pool:join(10))
    ]], { env = "MPROC_ARENA=16M", seconds = 70 })
    assert.equal("the arena is named\n5\t6\ttrue\n", r.out, r.err)
  end)
end)
