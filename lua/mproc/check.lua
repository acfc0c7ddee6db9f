-- SPDX-License-Identifier: MIT
-- Checks of arguments, in one dialect: every message names the argument, says what it must be and what was given, and
-- blames the user's line. Used by every constructor and method that is written in Lua; src/bind has the same for C.
-- Each check returns the value as its caller wants it.

local errors = require("mproc.errors")

local check = {}

local HINT_DISTANCE = 3 -- letters by which a misspelt option may differ
local NAME_MOST = 40 -- letters of what may be one

-- How many values may stand for a call's arguments: what Lua's stack holds, with room to spare.
check.ARGUMENTS_MAX = 250000

function check.is_callable(value)
  if type(value) == "function" then
    return true
  end
  local mt = debug.getmetatable(value)
  return type(mt) == "table" and rawget(mt, "__call") ~= nil
end

-- hint: what to say behind the message.
function check.callable(name, value, hint)
  if not check.is_callable(value) then
    errors.raise("%s must be a function, got %s%s", name, errors.show(value), hint or "")
  end
  return value
end

function check.flag(name, value)
  if type(value) ~= "boolean" then
    errors.raise("%s must be true or false, got %s", name, errors.show(value))
  end
  return value
end

function check.text(name, value)
  if type(value) ~= "string" then
    errors.raise("%s must be a string, got %s", name, errors.show(value))
  end
  return value
end

-- An integer from `least` to `most` (2.0 is one). what: "the number of ...", for the message; most: none if nil.
function check.count(name, value, least, what, most)
  local n = type(value) == "number" and math.tointeger(value)
  if not n or n < least then
    errors.raise("%s must be %s, got %s", name, what or ("a whole number from %d up"):format(least), errors.show(value))
  elseif most and n > most then
    errors.raise("%s must be at most %d, got %d", name, most, n)
  end
  return n
end

-- A number of seconds above 0.
function check.seconds(name, value)
  if type(value) ~= "number" or value ~= value or value <= 0 then
    errors.raise("%s must be a number of seconds above 0, got %s", name, errors.show(value))
  end
  return value
end

-- A timeout is nil or a number of seconds, and no NaN.
function check.timeout(timeout)
  if timeout == nil or (type(timeout) == "number" and timeout == timeout) then
    return timeout
  end
  local hint = type(timeout) == "boolean" and " (Python's block is not needed: nil waits for ever, 0 does not wait)"
    or ""
  errors.raise("timeout must be a number of seconds or nil, got %s%s", errors.show(timeout), hint)
end

function check.no_arguments(name, ...)
  if select("#", ...) > 0 then
    errors.raise("%s takes no arguments, got %s", name, errors.show((...)))
  end
end

-- How many elements a list has: its n, which is checked, or its length. most: none if nil.
function check.length(name, list, most)
  local n = list.n
  if n == nil then
    return #list
  end
  return check.count(name, n, 0, "a count", most)
end

-- Options are a plain table with something but a list in it, so {} and { 1, 2 } are none.
function check.is_options(value)
  return type(value) == "table" and getmetatable(value) == nil and rawget(value, 1) == nil and next(value) ~= nil
end

-- Edit distance, for names of a few letters.
local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #b do
      local swap = diagonal + (a:byte(i) == b:byte(j) and 0 or 1)
      diagonal, row[j] = row[j], math.min(swap, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

-- The name that was probably meant, or nil.
function check.nearest(key, names)
  local best, least
  for _, name in ipairs(names) do
    local d = distance(key:lower(), name)
    if not least or d < least then
      best, least = name, d
    end
  end
  return least and least <= HINT_DISTANCE and best or nil
end

local function enumerate(names)
  if #names == 1 then
    return names[1]
  end
  return table.concat(names, ", ", 1, #names - 1) .. " and " .. names[#names]
end

local function refuse_option(key, owner, names)
  local near = type(key) == "string" and #key <= NAME_MOST and check.nearest(key, names)
  errors.raise("unknown option %s%s; %s %s", errors.show(key), near and ("; did you mean '%s'?"):format(near) or "",
    owner, enumerate(names))
end

-- A table of options: raises for a key that is none of `names`. owner: "a pipe has", say.
function check.options(given, owner, names)
  local known = {}
  for _, name in ipairs(names) do
    known[name] = true
  end
  for key in next, given do
    if not known[key] then
      refuse_option(key, owner, names)
    end
  end
  return given
end

return check
