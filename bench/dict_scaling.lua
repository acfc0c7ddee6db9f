-- SPDX-License-Identifier: MIT
-- Claims: what a get or a set of a Dict costs does not depend on how many processes are at it: readers of one key take
-- no lock and store nothing, writers of different keys meet in one of 256 stripes only. In ns of CPU of each process,
-- so that more processes than CPUs say the same. An add of all to one key is shown: there they wait for each other.

local mproc = require("mproc")
local series = require("bench.series")

local CALLS, KEYS, ENTRIES = 400000, 64, 10000
local FLAT = 1.5

local JOBS = {
  get = function(d)
    for _ = 1, CALLS do
      d:get("hot")
    end
  end,
  set = function(d, id)
    local first = id * KEYS
    for i = 1, CALLS do
      d:set(first + i % KEYS, i)
    end
  end,
  add = function(d)
    for _ = 1, CALLS do
      d:add("hot", 1)
    end
  end,
}

-- ns of CPU that a call takes in each of n processes, on the average.
local function cost(job)
  return function(n)
    local d, start, sum, all = mproc.Dict{ hot = 1 }, mproc.Barrier(n), 0, {}
    for i = 1, ENTRIES do
      d[i] = i
    end
    for id = 1, n do
      all[id] = mproc.Process(function()
        start:wait()
        local began = os.clock()
        JOBS[job](d, id)
        return (os.clock() - began) / CALLS * 1e9
      end):start()
    end
    for id = 1, n do
      sum = sum + assert(all[id]:result())
      all[id]:join()
      all[id]:close()
    end
    d:close()
    return sum / n
  end
end

local function row(job, title, chart, claimed)
  series({
    title = title, chart = chart, x = "processes", y = "ns", better = "less", xs = { 1, 2, 4, 8, 16 },
    measure = cost(job), rounds = 3,
    figure = function(at)
      return at[16] / at[1]
    end,
    reach = claimed and "<= " .. FLAT,
    reached = claimed and function(times)
      return times <= FLAT
    end,
  })
end

row("get", "CPU of a get of one key, 16 by 1, times", "N processes get one key of a Dict, ns of CPU", true)
row("set", "CPU of a set of own keys, 16 by 1, times", "N processes set keys of their own, ns of CPU", true)
row("add", "CPU of an add to one key, 16 by 1, times", "N processes add to one key, ns of CPU")
