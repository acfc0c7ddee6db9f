-- SPDX-License-Identifier: MIT
-- run.lua GROUP NAME POINTS [MANNER [N]]: raises at POINTS steps of each manner of a scenario, or at all of them (0).
-- Each point runs in a fork of this process, which does not know mproc, so that one cannot disturb another. Prints one
-- line for each point that went wrong, at last "done".

local engine = require("spec.faults.raise.engine")
local hostile = require("hostile")

local group, name, points, only, only_n = arg[1], arg[2], tonumber(arg[3]), arg[4], tonumber(arg[5])
local scenario = function() return assert(require("spec.faults.raise." .. group)[name], name) end
local MOST_FAULTS = 3 -- of a manner; the others would tell the same

io.stdout:setvbuf("no")
local answer = os.tmpname()

-- Runs f in a fork; gives what f returned as text.
local function apart(f)
  assert(io.open(answer, "w")):close()
  local pid = hostile.fork()
  if pid == 0 then
    local ok, text = xpcall(f, debug.traceback)
    local file <close> = assert(io.open(answer, "w"))
    file:write(ok and (text or "") or "FAILED " .. text)
    file:close()
    os.exit(0, true)
  end
  hostile.reap(pid)
  local file <close> = assert(io.open(answer))
  return file:read("a")
end

local function measure(manner)
  local text = apart(function() return ("%d %d counted"):format(engine.measure(scenario(), manner)) end)
  local n, objects = text:match("^(%d+) (%d+) counted$")
  if not n then
    print(("%s: without any error: %s"):format(manner, text == "" and "it ended at once" or text))
  end
  return tonumber(n), tonumber(objects)
end

-- The steps to try: all, or so many of them, evenly spread but for a shift that is another each day.
local function steps(n)
  if only_n then return { only_n } end
  local list = {}
  if points == 0 or n <= points then
    for i = 1, n + 1 do list[i] = i end
    return list
  end
  local shift = os.time() // 86400 * 7919
  for i = 1, points do
    list[i] = (i - 1) * n // points + 1 + shift % (n // points)
  end
  return list
end

local function try(manner)
  local n, objects = measure(manner)
  local faults = 0
  for _, at in ipairs(n and steps(n) or {}) do
    io.stderr:write(("at %s %d of %d\n"):format(manner, at, n))
    local text = apart(function() return engine.point(scenario(), manner, at, objects) or "well" end)
    if text ~= "well" and text ~= "not reached" then
      faults = faults + 1
      print(("%s, at %d of %d: %s"):format(manner, at, n, text == "" and "it ended at once" or text))
      if faults == MOST_FAULTS then break end
    end
  end
end

local manners = {}
for manner in pairs(engine.manners) do manners[#manners + 1] = manner end
table.sort(manners)
for _, manner in ipairs(manners) do
  if not only or only == manner then try(manner) end
end
os.remove(answer)
print("done")
