-- SPDX-License-Identifier: MIT
-- An error out of nowhere, at the nth instruction of a call: run.lua tries the points of one scenario, each in a
-- process of its own, which this file plays.
--
-- A scenario is a table: make() -> env; call(env), which is interrupted; audit(env, what), which raises for what must
-- not be. what: { raised = whether the call raised, inside = whether the hook found mproc's own Lua running }.
-- Optional, for Ctrl-C at a random moment: once = true when call(env) cannot be repeated, catches = true when it
-- catches errors itself; env.times then is how often it was called.

local engine = {}

local TEXT = "out of nowhere"
local SIGINT = 2
local SETTLE_SECONDS = 8

engine.TEXT = TEXT

-- Whether mproc's own code runs at that level: its Lua, or a C function that a C function calls.
local function is_mproc(level)
  local info = debug.getinfo(level + 1, "S")
  local caller = info and info.what == "C" and debug.getinfo(level + 2, "S")
  return caller and caller.what == "C" or info ~= nil and info.source:find("/lua/mproc/", 1, true) ~= nil
end

-- A hook that acts once, at the nth time it is called; what it saw is kept in `what`.
local function hook_at(n, act, what, unhook)
  local owner, left = require("mproc").getpid(), n
  return function()
    left = left - 1
    if left > 0 then
      return
    end
    unhook()
    if require("mproc.core").getpid() == owner then
      what.fired, what.inside = true, is_mproc(2)
      act()
    end
  end
end

local function raise() error(TEXT, 0) end

local function interrupt()
  require("hostile").kill(require("mproc.core").getpid(), SIGINT)
end

local function here(mask, count, act)
  return function(n, f, what)
    local hook = hook_at(mask == "" and 1 or n, act, what, function() debug.sethook() end)
    local result = table.pack(pcall(function()
      debug.sethook(hook, mask, count and n or 0)
      f()
      debug.sethook()
    end))
    debug.sethook()
    return table.unpack(result, 1, result.n)
  end
end

-- SIGINT comes to the main thread: where nothing in the coroutine waits, that is behind the call.
local function in_coroutine(act)
  return function(n, f, what)
    local co = coroutine.create(f)
    debug.sethook(co, hook_at(1, act, what, function() debug.sethook(co) end), "", n)
    local ok, returned, err = pcall(coroutine.resume, co)
    if not ok then
      returned, err = coroutine.status(co) == "dead" and coroutine.close(co), returned
    end
    coroutine.close(co)
    return returned, err
  end
end

-- Name -> function(n, f, what) -> ok, error: calls f, with the error at its nth step.
engine.manners = {
  count = here("", true, raise),
  events = here("cr", false, raise),
  coroutine = in_coroutine(raise),
  sigint = here("", true, interrupt),
  ["sigint in a coroutine"] = in_coroutine(interrupt),
}

local function children()
  local pid = require("mproc").getpid()
  local file <close> = assert(io.open(("/proc/%d/task/%d/children"):format(pid, pid)))
  local n = 0
  for _ in file:read("a"):gmatch("%d+") do n = n + 1 end
  return n
end

function engine.collect()
  collectgarbage()
  collectgarbage()
end

-- Waits until check() gives something true; garbage is collected meanwhile.
function engine.settles(what, check)
  local mproc = require("mproc")
  local deadline = mproc.time() + SETTLE_SECONDS
  repeat
    engine.collect()
    if check() then return end
    mproc.sleep(0.005)
  until mproc.time() > deadline
  error(what .. " after " .. SETTLE_SECONDS .. " s", 0)
end

local function objects()
  return require("mproc.core").stats().objects
end

-- How many instructions (or events) the call has, and how many objects it leaves when nothing goes wrong.
function engine.measure(scenario, manner)
  local env, n = scenario.make(), 0
  local function count() n = n + 1 end
  local mask, step = "", 1
  if manner == "events" then mask, step = "cr", 0 end
  if manner:find("coroutine") then
    local co = coroutine.create(scenario.call)
    debug.sethook(co, count, mask, step)
    assert(coroutine.resume(co, env))
  else
    debug.sethook(count, mask, step)
    scenario.call(env)
    debug.sethook()
  end
  scenario.audit(env, { raised = false, inside = false })
  env = nil -- luacheck: ignore 311
  engine.settles("children are left", function() return children() == 0 end)
  return n, objects()
end

local function expected(err, manner)
  local text = type(err) == "string" and err or tostring(err)
  return text:find(manner:find("sigint") and "interrupted!" or TEXT, 1, true) ~= nil
end

-- One point. Nothing when all is well, "not reached" when the call has fewer steps, else what is wrong.
function engine.point(scenario, manner, n, most_objects)
  local what, env = {}, scenario.make()
  local ok, err = engine.manners[manner](n, function() scenario.call(env) end, what)
  what.raised = not ok
  if not ok and not expected(err, manner) then
    return "the call raised another error: " .. tostring(err)
  end
  local good, fault = pcall(scenario.audit, env, what)
  if not good then
    return ("%s (the call %s, the hook found %s)"):format(tostring(fault), ok and "returned" or "raised",
      what.inside and "mproc's own code" or "the program's code")
  end
  env = nil -- luacheck: ignore 311
  good, fault = pcall(function()
    engine.settles("children are left", function() return children() == 0 end)
    engine.settles("objects are left", function() return objects() <= most_objects end)
  end)
  return not good and fault or not what.fired and "not reached" or nil
end

return engine
