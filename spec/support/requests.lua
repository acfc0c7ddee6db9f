-- SPDX-License-Identifier: MIT
-- Calls of which each request for memory fails in turn.

local core = require("mproc.core")
local failalloc = require("failalloc")

local requests = {}

local MOST_REQUESTS = 5000

-- Calls f with its nth allocation failing, for n = 1, 2, … until none is left to fail; check(ok, ...) after each.
-- with: failalloc.after, so that all later ones fail as well (the default), or .once. Returns how many there are.
function requests.fail_each(f, check, with)
  for n = 1, MOST_REQUESTS do
    collectgarbage()
    local result = table.pack((with or failalloc.after)(n, f))
    check(table.unpack(result, 2, result.n))
    assert(core.scratch_used() == 0, "the codec's scratch is in use")
    if not result[1] then
      return n - 1
    end
  end
  error("it never stopped asking for memory")
end

function requests.out_of_memory(err)
  return tostring(err):find("not enough memory", 1, true) ~= nil
end

return requests
