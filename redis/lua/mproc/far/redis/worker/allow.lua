-- SPDX-License-Identifier: MIT
-- Which functions a worker program may run: names match before anything is required. Used by mproc.far.redis.worker.
--
-- A pattern is a name of a module's field in which * stands for one name, or a part of one: render.* allows
-- render.frame, not render.gpu.frame; that is render.gpu.*, or render.*.*. Lua's own ways out are never allowed,
-- whatever a pattern says.

local allow = {}

local NEVER = { _G = true, os = true, io = true, debug = true, package = true, coroutine = true, ffi = true }

-- What a pattern is in Lua's terms; or nil and what is wrong.
function allow.compile(pattern)
  if not pattern:find("^[%w_*-][%w_.*-]*%.[%w_*]+$") then
    return nil, "module.function, in which * stands for one name, as in 'render.*'"
  end
  return "^" .. pattern:gsub("[%-%.]", "%%%0"):gsub("%*", "[%%w_-]+") .. "$"
end

-- Module and field of a name, or nil: no such name can be of a module's field.
function allow.read(name)
  return name:match("^([%w_][%w_.-]*)%.([%w_]+)$")
end

-- The two names of a reduce, with a blank between them: of what is called, and of what combines. Nil for one name.
function allow.both(name)
  return name:match("^(%S+) (%S+)$")
end

-- Whether one of the compiled patterns allows the name.
local function matches(patterns, name)
  local module = allow.read(name)
  if not module or NEVER[module] then
    return false
  end
  for _, pattern in ipairs(patterns) do
    if name:find(pattern) then
      return true
    end
  end
  return false
end

-- The same; of two names each must be allowed.
function allow.matches(patterns, name)
  local one, other = allow.both(name)
  if one then
    return matches(patterns, one) and matches(patterns, other)
  end
  return matches(patterns, name)
end

return allow
