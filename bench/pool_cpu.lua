-- SPDX-License-Identifier: MIT
-- Claim: two workers on CPU-bound tasks do at least 0.97 of what two processes do that were simply forked ("raw"). In
-- tasks a second.

local harness = require("bench.harness")
local mproc = require("mproc")

local WORKERS, TASKS, LOOPS = 2, 200, 300000

local function task(n)
  local sum = 0
  for i = 1, LOOPS do
    sum = sum + (i * n) % 7
  end
  return sum
end

local items = harness.list(TASKS)

harness.run({
  title = "CPU-bound, 2 workers, tasks/s",
  better = "more",
  mproc = function()
    local pool <close> = mproc.Pool(WORKERS)
    pool:map(task, { 1, 2 })
    local began = mproc.time()
    pool:map(task, items)
    return TASKS / (mproc.time() - began)
  end,
  raw = function()
    local ready, go = mproc.Queue(), mproc.Queue()
    local processes = {}
    for w = 1, WORKERS do
      processes[w] = mproc.Process(function()
        ready:put(true)
        go:get()
        for n = w, TASKS, WORKERS do
          task(n)
        end
      end):start()
    end
    for _ = 1, WORKERS do
      ready:get()
    end
    local began = mproc.time()
    go:put_many({ true, true })
    for _, p in ipairs(processes) do
      p:join()
      p:close()
    end
    return TASKS / (mproc.time() - began)
  end,
  peers = { harness.peer("luv", "pool_cpu", TASKS) },
  reach = ">= 0.97 x raw",
  reached = function(found)
    return found.ratio >= 0.97
  end,
})
