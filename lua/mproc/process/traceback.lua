-- SPDX-License-Identifier: MIT
-- The traceback of a child's error: Lua's own, but for the stack that the child has inherited. Used by child.lua and
-- by pools.
-- Frames are counted from the bottom. Asking for one takes as many steps as it lies deep, and an overflown stack has a
-- million: so few are asked for, and debug.traceback is not, which counts them all for each of its calls.

local traceback = {}

local SHOWN_FIRST, SHOWN_LAST = 10, 11

traceback.callers = { [xpcall] = true } -- by which an entry calls what is not its own

-- How many frames there are, the caller's and this one included.
local function height()
  local low, high = 1, 2
  while debug.getinfo(high, "l") do
    low, high = high, high * 2
  end
  while high - low > 1 do
    local middle = (low + high) // 2
    if debug.getinfo(middle, "l") then
      low = middle
    else
      high = middle
    end
  end
  return low
end

-- Where the entry stands for the nth time: a grandchild has inherited its parent's as well. total: height().
local function find(total, entry, nth)
  for i = 1, total do
    if debug.getinfo(total - i + 1, "f").func == entry then
      nth = nth - 1
      if nth == 0 then
        return i
      end
    end
  end
  return 0
end

-- "string.rep", for what a loaded module has in a field.
local function public_name(func)
  for name, module in pairs(package.loaded) do
    if type(module) == "table" then
      for key, value in next, module do
        if rawequal(value, func) and type(key) == "string" then
          return name == "_G" and key or name .. "." .. key
        end
      end
    end
  end
end

local function describe(info)
  local name = info.what == "C" and public_name(info.func)
  if name then
    return ("function '%s'"):format(name)
  elseif info.namewhat ~= "" then
    return ("%s '%s'"):format(info.namewhat, info.name)
  elseif info.what == "main" then
    return "main chunk"
  elseif info.what == "C" then
    return "?"
  end
  return ("function <%s:%d>"):format(info.short_src, info.linedefined)
end

local function frame(total, i, is_last)
  local info = debug.getinfo(total - i + 1, "Slntf")
  local line = info.currentline > 0 and info.currentline .. ":" or ""
  local tail = info.istailcall and not is_last and "\n\t(...tail calls...)" or ""
  return ("\t%s:%s in %s%s"):format(info.short_src, line, describe(info), tail)
end

-- Always tail-called, so that it takes the place of its caller on the stack.
local function lines_of(total, top, bottom)
  local lines = {}
  for i = top, bottom, -1 do
    if top - i < SHOWN_FIRST or i - bottom < SHOWN_LAST then
      lines[#lines + 1] = frame(total, i, i == bottom)
    elseif top - i == SHOWN_FIRST then
      lines[#lines + 1] = ("\t...\t(skipping %d levels)"):format(top - bottom + 1 - SHOWN_FIRST - SHOWN_LAST)
    end
  end
  return table.concat(lines, "\n")
end

-- For a message handler's use: the lines for what runs above `entry`, which calls it by xpcall. nth: how many times the
-- entry is on the stack. hidden: how many of the caller's own frames are on top.
function traceback.of_child(entry, nth, hidden)
  local total = height()
  return lines_of(total, total - 2 - hidden, find(total, entry, nth) + 2) -- height's frame and this; xpcall's
end

-- The same, when the entry calls it by way of others: the lines for what runs above the first of traceback.callers
-- that is above it.
function traceback.of_task(entry, nth, hidden)
  local total = height()
  local bottom = find(total, entry, nth)
  repeat
    bottom = bottom + 1
    local info = debug.getinfo(total - bottom, "f")
  until not info or traceback.callers[info.func]
  return lines_of(total, total - 2 - hidden, bottom + 1)
end

return traceback
