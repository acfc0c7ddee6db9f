-- SPDX-License-Identifier: MIT
-- fd: makes a Descriptor of whatever has an open file. What a Descriptor does is in C. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")

local fd = {}

local METHODS = { "getfd", "fileno", "pollfd" } -- LuaSocket, most others, cqueues
local HINT = "a descriptor's number, a Lua file, or an object with a method getfd, fileno or pollfd"

-- The value as a descriptor's number, or nil.
local function as_number(value)
  local n = type(value) == "number" and math.tointeger(value)
  return n and n >= 0 and n <= 0x7fffffff and n or nil
end

local function field(x, name)
  return x[name]
end

-- What the first of these methods or fields gives; nil: there is none of them.
local function ask(x)
  for _, name in ipairs(METHODS) do
    local there, value = pcall(field, x, name)
    if there and type(value) == "function" then
      return value(x), name
    elseif there and value ~= nil then
      return value, name
    end
  end
end

local function number_of(x)
  if io.type(x) then
    return core.file_descriptor(x) or errors.raise("fd: the file is closed")
  elseif type(x) == "number" then
    return as_number(x) or errors.raise("fd takes %s, got %s", HINT, errors.show(x))
  end
  local value, name
  if type(x) == "table" or type(x) == "userdata" then
    value, name = ask(x)
  end
  if not name then
    errors.raise("fd takes %s, got %s", HINT, errors.show(x))
  end
  return as_number(value) or errors.raise("fd: its %s gave %s, which is no descriptor; is it closed?", name,
    errors.show(value))
end

-- fd(x) -> Descriptor | nil, message, NAME. The file is duplicated at once; x stays the caller's.
function fd.fd(x)
  return core.keep_descriptor(number_of(x))
end

return fd
