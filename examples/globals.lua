-- SPDX-License-Identifier: MIT
-- A child changes its own copy of a global; the parent's stays as it was. What the parent should know is returned.

local mproc = require("mproc")

counter = 0

local function count()
  for _ = 1, 1000 do
    counter = counter + 1
  end
  return counter
end

local processes = {}
for n = 1, 3 do
  processes[n] = mproc.Process(count):start()
end

local returned = 0
for n, p in ipairs(processes) do
  local result = p:result()
  print(("child %d counted to %d"):format(n, result))
  returned = returned + result
end

print("the parent's counter is", counter)
print("what they returned adds up to", returned)
