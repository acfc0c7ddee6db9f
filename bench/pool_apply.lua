-- SPDX-License-Identifier: MIT
-- Claim: apply takes no longer than three round trips of a bare queue (its "raw" side here). In microseconds.

local harness = require("bench.harness")
local mproc = require("mproc")

local WARM_UP, BATCH = 500, 200

local function each(f)
  for _ = 1, WARM_UP do
    f()
  end
  local began, done = mproc.time(), 0
  repeat
    for _ = 1, BATCH do
      f()
    end
    done = done + BATCH
  until mproc.time() - began >= harness.SECONDS
  return (mproc.time() - began) / done * 1e6
end

local function queue_trip()
  local there, back = mproc.Queue(), mproc.Queue()
  local p = mproc.Process(function()
    for _, v in there:items() do
      back:put(v)
    end
  end):start()
  local microseconds = each(function()
    there:put(1)
    back:get()
  end)
  there:close()
  p:join()
  p:close()
  return microseconds
end

local function identity(x)
  return x
end

harness.run({
  title = "apply (raw: a queue's trip), us",
  better = "less",
  mproc = function()
    local pool <close> = mproc.Pool(1)
    local args = { 1 }
    return each(function()
      pool:apply(identity, args)
    end)
  end,
  raw = queue_trip,
  python = harness.python("pool_apply", 3000),
  peers = { harness.peer("futures", "pool_apply", 2000), harness.peer("luv", "pool_apply", 10000) },
  reach = "<= 3 x the queue's",
  reached = function(found)
    return found.ratio <= 3
  end,
})
