-- SPDX-License-Identifier: MIT
-- A container that user code closes in the middle of a call: the call says so, and nothing crashes.

local leaks = require("spec.support.leaks")

describe("a container that is closed by what it is given", function()
  local mproc, run
  local mt = { __mproc_encode = function()
    run()
    return 1
  end }

  setup(function()
    mproc = require("mproc")
    mproc.register("spec.regress.container_closed", mt)
  end)
  leaks.watch()

  -- A value whose encoding runs f.
  local function closing(f)
    run = f
    return setmetatable({}, mt)
  end

  it("says so in set_many, which has looked at all values before it sets the first", function()
    local d = mproc.Dict()
    assert.error_matches(function() d:set_many{ a = closing(function() d:close() end) } end, "closed while")
    local e = mproc.Dict()
    assert.error_matches(function()
      e:set_many{ a = { closing(function() e:close() end) }, b = 2, c = 3 }
    end, "closed while")
  end)

  it("says so in sort", function()
    local l = mproc.List{ 2, 1 }
    assert.error_matches(function()
      l:sort(function(a, b)
        l:close()
        return a < b
      end)
    end, "closed while")
  end)
end)

describe("a list that its own order changes", function()
  it("is not sorted for ever", function()
    local mproc = require("mproc")
    local l <close> = mproc.List{ 3, 2, 1 }
    local ok, err = pcall(l.sort, l, function(a, b)
      l[1] = l[1] + 1
      return a < b
    end)
    assert.is_false(ok)
    assert.matches("sort: the list has changed each of the %d+ times", err)
  end)
end)
