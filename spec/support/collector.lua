-- SPDX-License-Identifier: MIT
-- The collector's pace, which Lua 5.5 sets by other calls than Lua 5.4.

local collector = {}

local has_param = pcall(collectgarbage, "param", "pause")

-- Sets the pause in percent; returns what it was.
function collector.pause(percent)
  if has_param then
    return collectgarbage("param", "pause", percent)
  end
  return collectgarbage("setpause", percent)
end

-- Collects at nearly every allocation, so that finalizers run wherever they can.
function collector.eager()
  if not has_param then
    collectgarbage("incremental", 10, 1000, 1)
    return
  end
  collectgarbage("incremental")
  collectgarbage("param", "pause", 10)
  collectgarbage("param", "stepmul", 1000)
  collectgarbage("param", "stepsize", 1)
end

return collector
