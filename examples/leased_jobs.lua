-- SPDX-License-Identifier: MIT
-- Jobs that survive their workers: each is leased, and goes back to the queue when its holder dies in the middle of it.
-- Every third attempt ends in sudden death here; all jobs are done all the same, each exactly once.

local mproc = require("mproc")

local JOBS, WORKERS = 12, 3

local jobs, results = mproc.Queue(), mproc.Queue()
local attempts = mproc.Value("integer", 0)

local function work()
  while true do
    local job, lease = jobs:lease()
    if lease == "closed" then
      return -- all jobs are done, also those that others had
    end
    if attempts:add(1) % 3 == 0 then
      os.exit(1) -- as sudden as a crash in a C library
    end
    results:put({ job = job, square = job * job })
    lease:done()
  end
end

for job = 1, JOBS do
  jobs:put(job)
end
jobs:close()

local deaths, workers = 0, {}
for i = 1, WORKERS do
  workers[i] = mproc.Process(work):start()
end
while #workers > 0 do
  for _, ended in ipairs(mproc.wait(workers)) do
    local i = 1
    while workers[i] ~= ended do
      i = i + 1
    end
    ended:join()
    if ended.exitcode == 0 then
      table.remove(workers, i)
    else
      deaths = deaths + 1
      workers[i] = mproc.Process(work):start()
    end
    ended:close()
  end
end

local sum = 0
while not results:empty() do
  sum = sum + results:get().square
end
print(("%d jobs done, %d workers died on the way, the squares add up to %d"):format(JOBS, deaths, sum))
