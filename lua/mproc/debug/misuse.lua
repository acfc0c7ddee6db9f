-- SPDX-License-Identifier: MIT
-- Likely mistakes that debug mode tells of, once each: they are allowed, so nothing is raised. Used by log.lua and
-- leaks.lua, which put them in place.

local core = require("mproc.core")
local errors = require("mproc.errors")

local misuse = {}

-- Of Process:run: called by hand, it runs the target here. record: the process's private one.
function misuse.run(record)
  if record.pid ~= core.getpid() then
    core.log("debug", ("p:run() at %s runs the target of '%s' in this process; write p:start() for one of its own")
      :format(errors.where(), record.name))
  end
end

-- An apply for the pool of this state, which tells when as many calls as there are workers came from one line, each
-- alone: a loop.
function misuse.counting(state, apply)
  local told, line, count = false, nil, 0
  return function(pool, ...)
    local where = errors.where()
    count = where == line and state.jobs.nlive == 0 and count + 1 or 1
    line = where
    if not told and count > 1 and count >= state.size then
      told = true
      core.log("debug", ("apply at %s waits for each task before the next begins: it keeps one of %d workers busy; "
        .. "use map, or submit them all and get() then"):format(where, state.size))
    end
    return apply(pool, ...)
  end
end

return misuse
