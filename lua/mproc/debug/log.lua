-- SPDX-License-Identifier: MIT
-- The log: what mproc tells on stderr of processes and pools, one line each. Used by init.lua, which makes it
-- mproc.log. The lines and the level are C's: whoever has news calls core.log; children inherit the level.
--
-- warning: deaths, retries, timeouts, what the dead left behind, forks beside threads. info: starts and ends as well.
-- debug: also likely mistakes (misuse.lua, globals.lua) and what is left open at the end (leaks.lua). Those are
-- loaded and put in place when that level is set, and cost nothing else: so core.state.debug is nil, or the table of
-- what modules call in debug mode: child(), run(record).

local core = require("mproc.core")
local errors = require("mproc.errors")
local lazy = require("mproc.lazy")

local log = {}

local state = core.state
local LEVELS = { off = true, warning = true, info = true, debug = true }
local OF_ENVIRONMENT = { ["1"] = "debug", ["0"] = "off", [""] = "off" }

local function apply(mproc, level)
  core.log_level(level)
  if level == "debug" then
    state.debug = { child = lazy.load("mproc.debug.globals").watch, run = lazy.load("mproc.debug.misuse").run }
    lazy.load("mproc.debug.leaks").watch(mproc)
    lazy.load("mproc.debug.containers").watch()
  elseif state.debug then
    state.debug = nil
    lazy.load("mproc.debug.leaks").unwatch()
    lazy.load("mproc.debug.containers").unwatch()
  end
end

-- MPROC_DEBUG: 1, 0 or a level. nil when it is not set.
local function level_of_environment()
  local value = os.getenv("MPROC_DEBUG")
  if value == nil then
    return nil
  end
  local level = OF_ENVIRONMENT[value] or value:lower()
  if not LEVELS[level] then
    error(("MPROC_DEBUG must be 1, 0, off, warning, info or debug, it is '%s'"):format(value), 0)
  end
  return level
end

-- mproc.log([level]) -> the level before. The level is that of this process and of those that it starts from now on.
function log.bind(mproc)
  lazy.unit("mproc.debug.globals")
  lazy.unit("mproc.debug.containers")
  local level = not state.log_begun and level_of_environment() or core.log_level()
  state.log_begun = true -- a module that is loaded anew finds the level as it was
  apply(mproc, level)
  return function(wanted)
    local before = core.log_level()
    if wanted == nil then
      return before
    elseif not LEVELS[wanted] then
      errors.raise("the level must be \"off\", \"warning\", \"info\" or \"debug\", got %s", errors.show(wanted))
    end
    apply(mproc, wanted)
    return before
  end
end

return log
