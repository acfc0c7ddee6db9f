-- SPDX-License-Identifier: MIT
-- The descriptor of the arena that every process keeps for viewers: there, harmless, and in nobody's way.

local lfs = require("lfs")
local mproc = require("mproc")

-- The descriptors of the arena that this process has.
local function arena_fds()
  local found = {}
  for name in lfs.dir("/proc/self/fd") do
    if lfs.symlinkattributes("/proc/self/fd/" .. name, "target") == "/memfd:mproc (deleted)" then
      found[#found + 1] = math.tointeger(name)
    end
  end
  return found
end

describe("the arena's descriptor", function()
  it("is one, above those that programs count on", function()
    local fds = arena_fds()
    assert.equal(1, #fds)
    assert.is_true(fds[1] >= 40)
  end)

  it("is for reading only, and closed by a program that is executed", function()
    local info <close> = io.open("/proc/self/fdinfo/" .. arena_fds()[1])
    local flags = tonumber(info:read("a"):match("flags:%s*(%d+)"), 8)
    assert.equal(0, flags & 3)
    assert.not_equal(0, flags & tonumber("2000000", 8))
  end)

  it("cannot be opened for writing by mistake", function()
    assert.equal("r--------", lfs.attributes("/proc/self/fd/" .. arena_fds()[1], "permissions"))
  end)

  it("stays in a child that closes all descriptors", function()
    local p = mproc.Process{ target = function() return #arena_fds() end, close_fds = true }:start()
    assert.equal(1, p:result(10))
    p:close()
  end)
end)
