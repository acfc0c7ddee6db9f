-- SPDX-License-Identifier: MIT
-- A pool in luv's event loop: the loop goes on ticking while all CPUs work, and hears of each result when it is there.
-- Needs lua-luv.

local mproc = require("mproc")
local uv = require("luv")

local TASKS = 20

local function slow_square(x)
  local ends = mproc.time() + 0.02
  repeat until mproc.time() >= ends
  return x * x
end

local pool <close> = mproc.Pool()
local sum, done, ticks = 0, 0, 0

local timer = uv.new_timer()
timer:start(0, 5, function()
  ticks = ticks + 1
end)

local results = uv.new_poll(pool:fileno())
results:start("r", function()
  while pool:step() do end -- callbacks run in here
  if done == TASKS then
    results:close()
    timer:close()
  end
end)

for i = 1, TASKS do
  pool:submit(slow_square, i):add_done_callback(function(future)
    done, sum = done + 1, sum + future:get()
  end)
end

uv.run()
print(("%d results, their sum is %d"):format(done, sum))
print("the loop went on ticking: " .. tostring(ticks > 10))
