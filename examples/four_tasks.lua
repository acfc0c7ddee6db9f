-- SPDX-License-Identifier: MIT
-- Four named tasks run at the same time; the parent speaks first.

local mproc = require("mproc")

local gate = mproc.Queue()

local function task(n)
  gate:get() -- waits until the parent has spoken
  mproc.print(("task %d runs in %s"):format(n, mproc.current_process().name))
end

local processes = {}
for n = 1, 4 do
  processes[n] = mproc.Process{ target = task, args = { n }, name = "worker-" .. n }:start()
end

mproc.print("the parent started four tasks")
gate:put_many({ "go", "go", "go", "go" })

for _, p in ipairs(processes) do
  p:join()
end
mproc.print("all four have ended")
