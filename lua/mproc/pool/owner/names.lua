-- SPDX-License-Identifier: MIT
-- What other machines know a function by: "module.function", a field of a module that they can require, too. Used for
-- pools over several machines, whose functions are deployed and never sent.

local errors = require("mproc.errors")
local pool_errors = require("mproc.pool.errors")

local names = {}

local MODULE, FIELD = "^[%w_%-%.]+$", "^[%a_][%w_]*$"
local GLOBALS = "_G" -- its functions belong to the program that set them

local found = setmetatable({}, { __mode = "k" }) -- function -> { module =, field =, name = }

-- Whether the module still has the function in that field.
local function is_there(f, place)
  local module = package.loaded[place.module]
  return type(module) == "table" and rawequal(rawget(module, place.field), f)
end

-- Of two places the one with the shorter name; then the first one in the alphabet.
local function is_better(place, than)
  if not than or #place.name ~= #than.name then
    return not than or #place.name < #than.name
  end
  return place.name < than.name
end

-- The field of a table that has f, or nil.
local function field_of(module, f)
  local best
  for field, value in next, module do
    if rawequal(value, f) and type(field) == "string" and field:find(FIELD) and (not best or field < best) then
      best = field
    end
  end
  return best
end

-- Where f is a field, or nil.
local function search(f)
  local best
  for module, value in pairs(package.loaded) do
    if type(module) == "string" and type(value) == "table" and module ~= GLOBALS and module:find(MODULE) then
      local field = field_of(value, f)
      local place = field and { module = module, field = field, name = module .. "." .. field }
      if place and is_better(place, best) then
        best = place
      end
    end
  end
  return best
end

local function name_of(f)
  if type(f) ~= "function" then
    errors.raise("other machines know functions by their names alone, \"module.function\", and this is %s that can be "
      .. "called; put a function into a module that the workers have, too", errors.show(f))
  end
  local place = found[f]
  if not place or not is_there(f, place) then
    place = search(f)
    found[f] = place
  end
  if not place then
    errors.raise("cannot send %s: other machines know functions by their names alone, \"module.function\", and no "
      .. "loaded module has it in a field; put it into a module that the workers have, too, and pass "
      .. "require(\"module\").f",
      pool_errors.name_function(f))
  end
  return place.name
end

local Pair = {}

-- Both functions of a reduce, as one.
function names.pair(f, combine)
  return setmetatable({ f, combine }, Pair)
end

-- "module.function"; of a pair both, with a blank between. Raises for what has no such name.
function names.of(f)
  if getmetatable(f) == Pair then
    return name_of(f[1]) .. " " .. name_of(f[2])
  end
  return name_of(f)
end

return names
