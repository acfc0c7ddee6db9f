-- SPDX-License-Identifier: MIT
-- Claim: integers from one process to another, put and taken a hundred at a time. In millions a second.

local harness = require("bench.harness")
local mproc = require("mproc")
local raw = require("raw")

local BATCH, BATCHES = 100, 50000
local PEER_COUNT = 200000

local function numbers(n)
  local list = {}
  for i = 1, n do
    list[i] = 123456000 + i
  end
  return list
end

local function produce(q, ready, go)
  local list = numbers(BATCH)
  ready:put(true)
  go:get()
  for _ = 1, BATCHES do
    q:put_many(list)
  end
end

-- Messages a second; take(q, count) takes so many.
local function one_way(take)
  local q, ready, go = mproc.Queue(), mproc.Queue(), mproc.Queue()
  local p = mproc.Process(produce, q, ready, go):start()
  ready:get()
  local began = mproc.time()
  go:put(true)
  take(q, BATCH * BATCHES)
  local seconds = mproc.time() - began
  p:join()
  p:close()
  return BATCH * BATCHES / seconds / 1e6
end

local RAW_COUNT, RAW_SLOTS = 30000000, 4096

harness.run({
  title = "integers, batches of 100, M/s",
  better = "more",
  mproc = function()
    return one_way(function(q, count)
      while count > 0 do
        count = count - q:get_many(BATCH).n
      end
    end)
  end,
  raw = function()
    return RAW_COUNT / raw.stream(8, RAW_COUNT, RAW_SLOTS) / 1e6
  end,
  peers = { harness.peer("mce", "batches", PEER_COUNT, BATCH) },
  reach = ">= 25",
  reached = function(found)
    return found.median >= 25
  end,
})

harness.run({
  title = "integers, items(100), M/s",
  better = "more",
  mproc = function()
    return one_way(function(q, count)
      for i in q:items(BATCH) do
        if i == count then
          break
        end
      end
    end)
  end,
})
