-- SPDX-License-Identifier: MIT
-- ctrl_c_program.lua GROUP NAME SEED: a real SIGINT, from another process, at a random moment of a scenario of raise/,
-- which the script catches. What a user types at the prompt instead is prepare, provoke and audit, one a line.

local engine = require("spec.faults.raise.engine")
local mproc = require("mproc")

local program = {}

local LONGEST = 0.02 -- seconds until the signal comes
local ENVIRONMENTS = 6 -- of a call that cannot be repeated

local scenario, envs, sender

function program.prepare(group, name)
  scenario = assert(require("spec.faults.raise." .. group)[name], name)
  envs = {}
  for i = 1, scenario.once and ENVIRONMENTS or 1 do envs[i] = scenario.make() end
end

local function signal_soon(seed)
  math.randomseed(seed)
  local me, delay = mproc.getpid(), math.random() * LONGEST
  return mproc.Process{ daemon = true, target = function()
    mproc.sleep(delay)
    require("hostile").kill(me, 2)
  end }:start()
end

local function call_each()
  for _, env in ipairs(envs) do
    scenario.call(env)
    env.finished = true
  end
end

local function call_again_and_again(env)
  env.times = 0
  while true do
    env.times = env.times + 1
    scenario.call(env)
    env.result = nil
  end
end

-- Is interrupted.
function program.provoke(seed)
  sender = signal_soon(seed)
  if not scenario.once then call_again_and_again(envs[1]) end
  call_each()
  mproc.sleep(60)
end

function program.audit()
  if sender then sender:join() end -- else the signal came before start had returned
  sender = nil
  for i, env in ipairs(envs) do
    scenario.audit(env, { raised = not env.finished, fired = true, inside = false })
    envs[i] = nil
  end
  engine.settles("children are left", function() return #mproc.active_children() == 0 end)
  io.stdout:write("well\n")
  io.stdout:flush()
end

if arg[0]:find("ctrl_c_program", 1, true) then
  program.prepare(arg[1], arg[2])
  local ok, err = pcall(program.provoke, tonumber(arg[3]))
  assert(not ok and tostring(err):find("interrupted!", 1, true), err)
  program.audit()
end

return program
