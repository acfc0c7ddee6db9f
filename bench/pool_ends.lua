-- SPDX-License-Identifier: MIT
-- Claims: terminate with 10,000 tasks queued takes less than 100 ms; a worker that dies is noticed and replaced in less
-- than 50 ms (from its death to the first result of the new one). In milliseconds.

local harness = require("bench.harness")
local mproc = require("mproc")

harness.run({
  title = "terminate, 10,000 queued, ms",
  better = "less",
  mproc = function()
    local pool = mproc.Pool(2)
    for _ = 1, 10000 do
      pool:submit(mproc.sleep, 60)
    end
    local began = mproc.time()
    pool:terminate()
    return (mproc.time() - began) * 1000
  end,
  reach = "< 100",
  reached = function(found)
    return found.median < 100
  end,
})

-- os.exit is the quickest way to die; the time is taken just before.
local function die(died)
  died:put(mproc.time())
  os.exit(1)
end

harness.run({
  title = "a crash replaced, ms",
  better = "less",
  mproc = function()
    local pool <close> = mproc.Pool(1)
    local died, total = mproc.Queue(), 0
    pool:apply(math.max, { 1 })
    for _ = 1, 10 do
      pcall(pool.apply, pool, die, { died })
      pool:apply(math.max, { 1 })
      total = total + mproc.time() - died:get()
    end
    return total / 10 * 1000
  end,
  reach = "< 50",
  reached = function(found)
    return found.median < 50
  end,
})
