-- SPDX-License-Identifier: MIT
-- get_many puts back what it cannot decode; where the arena had no room for that, it was lost without a word.

local program = require("spec.support.program")

describe("get_many in an arena that a hook fills", function()
  it("gives what it can, and tells of a message that it can neither decode nor put back", function()
    local r = program.text([[
      local mproc = require("mproc")
      local Bad, filling = {}, {}
      Bad.__mproc_encode = function(self) return { n = self.n, ("x"):rep(1000) } end
      local function fill()
        for _, size in ipairs({ 1 << 20, 1 << 16, 4096, 512, 64, 16 }) do
          local more = mproc.Queue()
          while more:put(("y"):rep(size), 0) do end
          filling[#filling + 1] = more
        end
      end
      mproc.register("Bad", Bad, { decode = function(t)
        if t.n == 1 then fill() end
        error("spoilt " .. t.n, 0)
      end })
      local q = mproc.Queue()
      local all = { 1, 2 }
      for n = 1, 40 do all[#all + 1] = setmetatable({ n = n }, Bad) end
      all[#all + 1] = "last"
      local put = q:put_many(all)
      local got = q:get_many(100)
      filling = nil
      collectgarbage() collectgarbage()
      local there = q:qsize()
      print(put, got[1], got[2], got.n + there)
    ]], { env = "MPROC_ARENA=16M", seconds = 70 })
    local put, total = r.out:match("^(%d+)\t1\t2\t(%d+)\n$")
    local _, told = r.err:gsub("mproc: pid %d+: get_many has lost a message that cannot be decoded %(spoilt %d+%)", "")
    assert.is_not_nil(put, r.out .. r.err)
    assert.equal(43, tonumber(put))
    assert.is_true(told > 0, "nothing was lost: " .. r.out)
    assert.equal(43, tonumber(total) + told)
  end)
end)
