-- SPDX-License-Identifier: MIT
-- run_object.lua PLACE ACT: has a program's own function do something where mproc calls it outside of pools. Prints
-- "well" when the call has its own error or right results, nothing is held afterwards, and the next call works.

local acts = require("spec.faults.user_code.acts")
local places = require("spec.faults.user_code.objects")

local place, act_name = places[arg[1]], arg[2]
local show = acts.show

io.stdout:setvbuf("no")

local function fault(text, ...)
  print("FAULT: " .. text:format(...))
  os.exit(1)
end

local armed, busy, scene = true, false, nil

-- What the function does, and how its error is known.
local function find_act()
  for kind, list in pairs(acts) do
    if type(list) == "table" and list[act_name] then
      return kind, list[act_name]
    end
  end
  return act_name, nil
end

local kind, what = find_act()
local DEEDS = {
  raising = function() what[1]() end,
  yielding = function() if coroutine.isyieldable() then coroutine.yield() end end,
  ["uses the same"] = function() if scene.use then scene.use() end end,
  ["closes it"] = function() if scene.close then scene.close() end end,
}
local deed = DEEDS[kind] or what

local function act()
  if armed and not busy then
    busy = true
    armed = kind == "raising" or kind == "yielding"
    local result = table.pack(pcall(deed))
    busy = false
    if not result[1] then error(result[2], 0) end
  end
end

-- Words that only a mistake inside of mproc can have made.
local INTERNAL = { "/lua/mproc/", "attempt to index", "attempt to call", "attempt to compare", "attempt to perform" }

local function check_text(err)
  local text = show(err)
  for _, word in ipairs(INTERNAL) do
    if text:match("^[^\n]*"):find(word, 1, true) then fault("an internal error: %s", text) end
  end
end

local DIED = { worker_died = true, manager_died = true }

local function is_refusal(err)
  local text = show(err)
  return act_name == "closes it" and text:find("closed", 1, true)
    or kind == "yielding" and text:find("attempt to yield across a C-call boundary", 1, true)
end

local function check_call(ok, result)
  if not ok then check_text(result) end
  if kind == "raising" and place.fate ~= "told" then
    if ok or not what[2](result) then fault("the call %s %s", ok and "returned" or "raised", show(result)) end
  elseif kind == "leaving" then
    if ok and not result or not ok and not DIED[type(result) == "table" and result.kind] then
      fault("the call %s %s", ok and "returned" or "raised", show(result))
    end
  elseif not (ok and result) and not (not ok and is_refusal(result)) then
    fault("the call %s %s", ok and "returned" or "raised", show(result))
  end
end

scene = place.make(act)
if kind == "yielding" then
  local co = coroutine.create(scene.call)
  local ok, result = coroutine.resume(co)
  if coroutine.status(co) == "suspended" then
    ok, result = what.behind(co)
  end
  check_call(ok, result)
  co = nil -- luacheck: ignore 311
else
  check_call(pcall(scene.call))
end
armed = false
collectgarbage()
collectgarbage()
if act_name ~= "closes it" then
  if scene.rests and not scene.rests() then fault("something is held afterwards") end
  local next_one = place.make(act)
  local ok, right = pcall(next_one.call)
  if not ok or not right then fault("the next call %s %s", ok and "returned" or "raised", show(right)) end
  ok, right = pcall(scene.call)
  if not ok or not right then fault("the same call again %s %s", ok and "returned" or "raised", show(right)) end
end
print("well")
