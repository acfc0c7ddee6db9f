-- SPDX-License-Identifier: MIT
-- run.lua NAME [STEP FIRST]: one parameter of calls.lua, containers.lua or outside.lua with each value, or every
-- STEPth from FIRST on: the outcome is right, or the value is refused by name at the caller's line, or by the system.
-- Prints what is not, at last "done".

local values = require("spec.faults.limits.values")
local call
for _, file in ipairs({ "calls", "containers", "outside" }) do
  call = call or require("spec.faults.limits." .. file)[arg[1]]
end
assert(call, arg[1])

io.stdout:setvbuf("no")

local HERE = "spec/faults/limits/%a+%.lua:%d"

local function refused_by_name(message)
  if type(message) ~= "string" or not message:find(HERE) then return false end
  for _, word in ipairs(call.words) do
    if message:find(word, 1, true) then return true end
  end
  return false
end

local function verdict(ok, result, message, code)
  if not ok then
    return not refused_by_name(result) and "raises: " .. tostring(result)
  elseif result == nil and code then
    return not (type(message) == "string" and type(code) == "string") and "refuses without a name"
  end
  return not result and "has a wrong outcome"
end

local function show(v)
  return math.type(v) == "integer" and ("%d"):format(v) or ("%.17g"):format(v)
end

for i = tonumber(arg[3]) or 1, #values, tonumber(arg[2]) or 1 do
  local v = values[i]
  if not (call.skip and call.skip(v)) then
    io.stderr:write(("at %d: %s\n"):format(i, show(v)))
    local wrong = verdict(pcall(call.call, v))
    if wrong then print(("%s with %s %s"):format(arg[1], show(v), wrong)) end
  end
end
print("done")
