-- SPDX-License-Identifier: MIT
-- How long a call takes.

local clock = {}

-- Calls f(...): the seconds that it took, and all that it returned.
function clock.elapsed(f, ...)
  local time = require("mproc").time
  local began = time()
  local results = table.pack(f(...))
  return time() - began, table.unpack(results, 1, results.n)
end

return clock
