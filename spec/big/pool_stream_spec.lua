-- SPDX-License-Identifier: MIT
-- Ten million items through imap in constant memory. Takes a minute: `make test-big`.

describe("imap over ten million items", function()
  local mproc = require("mproc")
  local core = require("mproc.core")
  local COUNT = 10000000
  local GROWTH_MAX = 64 << 20

  local function resident()
    local file <close> = assert(io.open("/proc/self/status"))
    return tonumber(file:read("a"):match("VmRSS:%s*(%d+)")) * 1024
  end

  it("grows by less than 64 MiB, shared memory included", function()
    local pool <close> = mproc.Pool(2)
    pool:map(math.abs, { 1, 2, 3 })
    collectgarbage()
    local before, used, most = resident(), core.stats().used, 0
    local n = 0
    local sum = 0
    for i, v in pool:imap(function(x) return x + 1 end, function()
      n = n + 1
      return n <= COUNT and n or nil
    end) do
      sum = sum + v
      if i % 100000 == 0 then
        most = math.max(most, resident() - before + core.stats().used - used)
      end
    end
    assert.equal(COUNT * (COUNT + 1) // 2 + COUNT, sum)
    assert.is_true(most < GROWTH_MAX, ("grew by %.1f MiB"):format(most / (1 << 20)))
    print(("grew by %.1f MiB"):format(most / (1 << 20)))
  end)
end)
