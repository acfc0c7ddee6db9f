-- SPDX-License-Identifier: MIT
-- What a task wrote by io.write, or to a file, was lost when its worker was killed later: it was flushed when a worker
-- left in order only.

local program = require("spec.support.program")

describe("what tasks wrote that have ended", function()
  local PRELUDE = [[
    local mproc = require("mproc")
    local pool = mproc.Pool{ processes = 1, task_timeout = 5 }
    pool:apply(function() io.write("one task, ") end)
    pool:map(function(x) io.write(x, ", ") end, { "first", "second" })
  ]]

  for how, ending in pairs({
    ["the end of the pool"] = "pool:join()",
    ["terminate"] = "pool:terminate()",
    ["an error that ends the scope"] = "pcall(function() local _ <close> = pool error('later') end)",
    ["a kill"] = "os.execute('kill -KILL ' .. pool:workers()[1]) pool:join()",
  }) do
    it("is there after " .. how, function()
      local r = program.text(PRELUDE .. ending)
      assert.equal("one task, first, second, ", r.out, r.err)
    end)
  end

  it("is in a file before the result is there", function()
    local r = program.text([[
      local mproc = require("mproc")
      local path = os.tmpname()
      local pool = mproc.Pool(1)
      local function size()
        local file <close> = io.open(path)
        return file:seek("end")
      end
      pool:apply(function() log = io.open(path, "a") end)
      for i = 1, 3 do
        pool:apply(function() log:write("x") end)
        print(size() == i)
      end
      pool:terminate()
      os.remove(path)
    ]])
    assert.equal("true\ntrue\ntrue\n", r.out, r.err)
  end)
end)
