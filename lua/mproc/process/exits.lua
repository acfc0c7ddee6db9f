-- SPDX-License-Identifier: MIT
-- mproc.at_exit: functions that run at the orderly end of the process that registered them. Used by mproc's init.lua
-- and, by way of core.state.exits, by child.lua.
--
-- core.state.exits is { pid, list, sentinel, run }: `list` is for the process `pid` alone; a child that inherited it
-- has none. The end of a child calls run(). The end of the main script is seen by the finalizer of `sentinel`, which is
-- held until the Lua state is closed, and younger than all that was there when a function was registered. os.exit,
-- which may close no state, is replaced.

local check = require("mproc.check")
local core = require("mproc.core")

local exits = {}

local state = core.state

local function complain(err)
  local ok, text = pcall(tostring, err)
  core.write_stderr(("mproc: a function of at_exit failed in pid %d: %s\n"):format(core.getpid(),
    ok and text or "an error whose __tostring raises"))
end

local function as_it_is(err)
  return err
end

-- Calls what this process has registered, the last first. A function is off the list before it is called: os.exit
-- inside one goes on with the next.
local function run()
  local mine = state.exits
  while not core.inherited(mine.pid) and #mine.list > 0 do
    local f = mine.list[#mine.list]
    mine.list[#mine.list] = nil
    local ok, err = core.pool.call(f, as_it_is) -- a hook that f sets ends with it
    if not ok then
      complain(err)
    end
  end
end

local Sentinel = {}

-- Older ones, and those of a parent, are merely dropped.
function Sentinel.__gc(sentinel)
  if rawequal(state.exits.sentinel, sentinel) then
    run()
  end
end

-- Once in each process.
local function replace_exit()
  local exit = os.exit
  os.exit = function(...) -- luacheck: ignore 122
    run()
    exit(...)
  end
end

-- Registers f for this process's end: its target has returned or raised, os.exit is called, the main script is over.
function exits.at_exit(f)
  check.callable("f", f)
  local mine = state.exits
  if not mine or core.inherited(mine.pid) then
    mine = { pid = core.getpid(), list = {}, run = run }
    state.exits = mine
    replace_exit()
  end
  mine.sentinel = setmetatable({}, Sentinel)
  mine.list[#mine.list + 1] = f
end

return exits
