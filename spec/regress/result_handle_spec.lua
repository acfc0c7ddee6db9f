-- SPDX-License-Identifier: MIT
-- An mproc object in the result of a process that had ended was gone: nobody held it on its way.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

describe("what a process returns or raises", function()
  leaks.watch()

  local function ended(target)
    local p = mproc.Process(target):start()
    p:join()
    return p
  end

  it("may be objects that it made itself, and that nobody else has", function()
    local p <close> = ended(function()
      local q = mproc.Queue()
      q:put("kept")
      return q, { mproc.Value("integer", 7) }
    end)
    local q, list = p:result(20)
    assert.equal("kept", q:get(10))
    assert.equal(7, list[1].value)
  end)

  it("may be an error with such an object", function()
    local core = require("mproc.core")
    local write_stderr = core.write_stderr
    core.write_stderr = function() end
    local p <close> = ended(function() error({ value = mproc.Value("integer", 7) }) end)
    core.write_stderr = write_stderr
    local ok, err = pcall(p.result, p, 20)
    assert.is_false(ok)
    assert.equal(7, err.value.value)
  end)

  it("is held until it is asked for, and not longer", function()
    local p = ended(function() return mproc.Queue() end)
    collectgarbage()
    p:close()
  end)
end)
