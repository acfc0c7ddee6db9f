-- SPDX-License-Identifier: MIT
-- Claim: d:get, d:set and d:add of integers by 1,000 string keys, from one process, cost about four of a plain table's
-- gets. In millions a second. The others do the same by a server (Python's Manager, Redis over a Unix socket) or in a
-- mapped file (Hash::SharedMem).

local harness = require("bench.harness")
local mproc = require("mproc")

local COUNT, KEYS = 2000000, 1000

local keys = harness.list(KEYS, function(i) return "key" .. i end)

-- Millions of calls a second of f(d, key, i).
local function rate(f)
  return function()
    local d = mproc.Dict()
    for i, key in ipairs(keys) do
      d:set(key, i)
    end
    local began = mproc.time()
    f(d)
    return COUNT / (mproc.time() - began) / 1e6
  end
end

local JOBS = {
  get = function(d)
    for i = 1, COUNT do
      d:get(keys[i % KEYS + 1])
    end
  end,
  set = function(d)
    for i = 1, COUNT do
      d:set(keys[i % KEYS + 1], i)
    end
  end,
  add = function(d)
    for i = 1, COUNT do
      d:add(keys[i % KEYS + 1], 1)
    end
  end,
}

for _, job in ipairs({ "get", "set", "add" }) do
  harness.run({
    title = ("d:%s of an integer, M/s"):format(job),
    better = "more",
    mproc = rate(JOBS[job]),
    python = harness.python("dict_" .. job, 3000),
    peers = {
      harness.peer("redis", job, 30000),
      harness.peer("shared_mem", job, 300000),
    },
    reach = ">= 7, >= 200 x Python, >= 50 x Redis, >= 1.3 x Hash::SharedMem",
    reached = function(found)
      local redis, mapped = found.sides.redis, found.sides.shared_mem
      return found.median >= 7 and (not found.python or found.median >= 200 * found.python)
        and (not redis or redis.times.median >= 50) and (not mapped or mapped.times.median >= 1.3)
    end,
  })
end
