-- SPDX-License-Identifier: MIT
-- Two processes put the sum of i + i^2 + i^3 into a queue. They are joined before anything is fetched:
-- a queue needs no reader, so this order is as good as any other.

local mproc = require("mproc")

local N = 50000

local function job(queue)
  local sum = 0
  for i = 0, N - 1 do
    sum = sum + i + i * i + i * i * i
  end
  queue:put(sum)
end

local queue = mproc.Queue()
local p1 = mproc.Process{ target = job, args = { queue } }:start()
local p2 = mproc.Process{ target = job, args = { queue } }:start()

p1:join()
p2:join()

local first, second = queue:get(), queue:get()
print("first result ", first)
print("second result", second)
print("together     ", first + second)
