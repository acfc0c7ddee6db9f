-- SPDX-License-Identifier: MIT
-- Claims: a lock that nobody else wants, taken and let go, and a semaphore likewise, in nanoseconds; and a lock that
-- two processes want all the time, in millions of acquisitions a second by both together.

local harness = require("bench.harness")
local mproc = require("mproc")

local COUNT = 5000000
local CONTENDERS = 2
local BATCH = 1000

local function pair(l)
  local began = mproc.time()
  for _ = 1, COUNT do
    l:acquire()
    l:release()
  end
  return (mproc.time() - began) / COUNT * 1e9
end

harness.run({
  title = "lock + unlock, ns",
  better = "less",
  mproc = function() return pair(mproc.Lock()) end,
  python = harness.python("lock", 1000000),
  reach = "<= 50",
  reached = function(found)
    return found.median <= 50
  end,
})

harness.run({
  title = "semaphore, acquire + release, ns",
  better = "less",
  mproc = function() return pair(mproc.Semaphore(1)) end,
  python = harness.python("semaphore", 1000000),
  reach = "<= Python",
  reached = function(found)
    return found.python == nil or found.median <= found.python
  end,
})

local function contend(l, go, counts)
  go:wait()
  local stop, count = mproc.time() + harness.SECONDS, 0
  repeat
    for _ = 1, BATCH do
      l:acquire()
      l:release()
    end
    count = count + BATCH
  until mproc.time() >= stop
  counts:put(count)
end

harness.run({
  title = "lock wanted by two, M/s",
  better = "more",
  mproc = function()
    local l, go, counts = mproc.Lock(), mproc.Event(), mproc.Queue()
    local all, sum = {}, 0
    for i = 1, CONTENDERS do
      all[i] = mproc.Process(contend, l, go, counts):start()
    end
    go:set()
    for _, p in ipairs(all) do
      sum = sum + counts:get()
      p:join()
      p:close()
    end
    return sum / harness.SECONDS / 1e6
  end,
  python = harness.python("contended_lock", CONTENDERS),
  reach = ">= 0.8 x Python",
  reached = function(found)
    return found.python and found.median >= 0.8 * found.python
  end,
})
