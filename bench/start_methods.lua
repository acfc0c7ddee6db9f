-- SPDX-License-Identifier: MIT
-- Claims: starting and joining an empty process by "spawn" costs little more than an interpreter that requires mproc;
-- by "forkserver", little more than by "fork".

local core = require("mproc.core")
local harness = require("bench.harness")
local mproc = require("mproc")

local SPAWNS, FORKS = 30, 300

local function nothing() end

-- What a start and a join by that method take, in a row of so many; in seconds.
local function started(method, count)
  local Process = mproc.get_context(method).Process
  Process(nothing):start():join() -- the server runs
  local began = mproc.time()
  for _ = 1, count do
    local p = Process(nothing):start()
    p:join()
    p:close()
  end
  return (mproc.time() - began) / count
end

-- The same for an interpreter that requires mproc.
local function required()
  local began = mproc.time()
  for _ = 1, SPAWNS do
    local command = core.spawn({ arg[-1], "-e", "require 'mproc'" }, true)
    mproc.wait({ command:fileno() })
    assert(command:exitcode() == 0)
    command:close()
  end
  return (mproc.time() - began) / SPAWNS
end

local function at_most(most)
  return function(found)
    return found.ratio <= most
  end
end

harness.run({
  title = "spawn, start + join, ms",
  better = "less",
  mproc = function() return started("spawn", SPAWNS) * 1e3 end,
  raw = function() return required() * 1e3 end,
  reach = "<= 1.5 x lua -e require",
  reached = at_most(1.5),
})

harness.run({
  title = "forkserver, start + join, us",
  better = "less",
  mproc = function() return started("forkserver", FORKS) * 1e6 end,
  raw = function() return started("fork", FORKS) * 1e6 end,
  reach = "<= 1.5 x fork",
  reached = at_most(1.5),
})
