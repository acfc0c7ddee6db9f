-- SPDX-License-Identifier: MIT
-- run.lua PLACE ACT [serial]: has a program's own function do something where mproc calls it. Prints "well" when the
-- call has its own error or right results, others have theirs, and the pool can be used or says why not, and be joined.

local acts = require("spec.faults.user_code.acts")
local mproc = require("mproc")
local places = require("spec.faults.user_code.places")

local place, act_name, serial = places[arg[1]], arg[2], arg[3] == "serial"
local SECONDS = 10

io.stdout:setvbuf("no")

local show = acts.show

local function fault(text, ...)
  print("FAULT: " .. text:format(...))
  os.exit(1)
end

-- Words that only a mistake inside of mproc can have made.
local INTERNAL = { "/lua/mproc/", "attempt to index", "attempt to call", "attempt to compare", "attempt to perform",
  "queue expected" }

local function check_text(err)
  local text = show(err)
  for _, word in ipairs(INTERNAL) do
    if text:match("^[^\n]*"):find(word, 1, true) then fault("an internal error: %s", text) end
  end
end

-- In the pool's owner an act may wish to be called once only, or it would meet itself for ever.
local pool
local busy, count = false, 0
local function act_here(f)
  return function()
    count = count + 1
    if busy then return end
    busy = true
    local result = table.pack(pcall(f, pool))
    busy = false
    if not result[1] then error(result[2], 0) end
  end
end

local function find_act()
  for kind, list in pairs(acts) do
    if type(list) == "table" and list[act_name] then
      return kind, list[act_name]
    end
  end
  fault("no such act")
end

local kind, what = find_act()
local f, is_own = what, nil
if kind == "raising" then f, is_own = what[1], what[2] end
if kind == "yielding" then f = function() if coroutine.isyieldable() then coroutine.yield() end end end

local function make_pool()
  local act = place.side == "worker" and not serial and function() return f() end or act_here(f)
  local options = place.options and place.options(act) or {}
  options.processes, options.serial = serial and 0 or 2, serial or nil
  if place.retry then options.on_crash = "retry" end
  local made = place.before and place.before(act)
  pool = mproc.Pool(options)
  return act, made
end

local FATES = {
  raised = function(ok, result) return not ok and is_own(result) end,
  ["raised in words"] = function(ok, result) return ok and result or not ok and is_own(result) end,
  told = function(ok, result) return ok and result end,
  ["told or raised"] = function(ok, result)
    if ok then return result end
    return is_own(result)
  end,
  silent = function(ok, result) return ok and result end,
  breaks = function(ok, result) return not ok and is_own(result) end,
}

local function check_raising(ok, result)
  if not FATES[place.fate or "raised"](ok, result) then
    fault("the call %s %s", ok and "returned" or "raised", show(result))
  end
end

local function is_kind(err, ...)
  for _, wanted in ipairs({ ... }) do
    if type(err) == "table" and err.kind == wanted then return true end
  end
  return false
end

-- A pool that its user has closed or terminated says so.
local function is_refusal(err)
  local text = show(err)
  return text:find("the pool is closed", 1, true) and (act_name:find("^closes") or act_name:find("^joins"))
    or text:find("the pool is terminated", 1, true) and kind == "ending"
end

local function check_call(ok, result)
  if not ok then check_text(result) end
  if not ok and is_refusal(result) then return end
  if kind == "raising" then
    check_raising(ok, result)
  elseif kind == "ending" then
    if not ok and not is_kind(result, "terminated") and not show(result):find(acts.TEXT, 1, true) then
      fault("the call raised %s", show(result))
    end
  elseif kind == "leaving" then
    if not ok and not is_kind(result, "worker_died", "no_workers") then
      fault("the call raised %s", show(result))
    end
    if ok and not result then fault("the call has wrong results") end
  elseif act_name == "has a worker killed" then
    if not ok and not is_kind(result, "worker_died") then fault("the call raised %s", show(result)) end
  elseif not (ok and result) then
    fault("the call %s %s", ok and "returned" or "raised", show(result))
  end
end

-- What others get: their results, or the pool's end.
local function check_other(future, value)
  local ok, got, word = pcall(future.get, future, SECONDS)
  if not ok then check_text(got) end
  local may_fail = place.fate == "breaks" or kind == "ending" or act_name == "has a worker killed"
  if ok and got ~= value or not ok and not may_fail then
    fault("another task has %s %s", show(got), show(word))
  end
end

local function check_next()
  local ok, future = pcall(pool.submit, pool, acts.times_ten, 6)
  if ok then
    check_other(future, 60)
  elseif act_name:find("^closes") or act_name:find("^joins") then
    if not show(future):find("clos", 1, true) then fault("the next task raised %s", show(future)) end
  elseif kind == "ending" then
    if not show(future):find("terminate", 1, true) then fault("the next task raised %s", show(future)) end
  elseif place.fate ~= "breaks" then
    fault("the next task raised %s", show(future))
  end
end

local function check_join()
  collectgarbage()
  collectgarbage()
  local ok, ended = pcall(pool.join, pool, SECONDS)
  if not ok or not ended then fault("join: %s %s", show(ok), show(ended)) end
end

local act, made = make_pool()
local before = pool:submit(acts.times_ten, 4)
if kind == "yielding" then
  local co = coroutine.create(place.call)
  local ok, result = coroutine.resume(co, pool, act, made)
  if coroutine.status(co) == "suspended" then
    ok, result = what.behind(co, pool)
  end
  check_call(ok, result)
else
  check_call(pcall(place.call, pool, act, made))
end
check_other(before, 40)
check_next()
check_join()
if place.side == "owner" and count == 0 then fault("the act was never called") end
print("well")
