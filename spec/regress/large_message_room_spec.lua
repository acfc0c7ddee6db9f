-- SPDX-License-Identifier: MIT
-- A message took a power of two: an arena held 61 messages of 1,000,000 bytes, and 30 of 1 MiB.

local program = require("spec.support.program")

local FILL = [[
  local mproc = require("mproc")
  local room = 64 << 20
  for _, size in ipairs({ 1000000, 1 << 20, 600000, (2 << 20) + 5, 100000 }) do
    for _ = 1, 2 do
      collectgarbage() -- the queue before: closed, it lies amid the room for messages until it is collected
      local queue <close> = mproc.Queue()
      local text, n = ("x"):rep(size), 0
      while queue:put(text, 0) do n = n + 1 end
      for i = 1, n do assert(#queue:get(0) == size, i) end
      local share = n * size / room
      print(size, share > 0.84 and "fits" or share)
    end
  end
]]

describe("a limited arena", function()
  it("holds as many large messages as their sizes and an eighth allow, again and again", function()
    local r = program.text(FILL, { seconds = 60, env = "MPROC_ARENA=64M" })
    local lines = 0
    for line in r.out:gmatch("[^\n]+") do
      lines = lines + 1
      assert.matches("^%d+\tfits$", line)
    end
    assert.are.equal(10, lines, r.err)
  end)
end)
