-- SPDX-License-Identifier: MIT
-- What a manager may be made of: checks the arguments of mproc.Manager. Used by init.lua.

local authkey = require("mproc.authkey")
local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")

local options = {}

local NAMES = { "constructors", "objects", "address", "authkey", "name", "max_bytes", "allow_md5" }
local KNOWN = {}
for _, name in ipairs(NAMES) do
  KNOWN[name] = true
end
local EXAMPLE = "as in mproc.Manager{ Counter = function(n) ... return object end }"

-- True for a table of constructors alone; false for one of options.
local function is_constructors(given)
  for key, value in next, given do
    if KNOWN[key] and not check.is_callable(value) then
      return false
    end
  end
  return true
end

local function check_name(what, name)
  if type(name) ~= "string" or name == "" then
    errors.raise("%s must have names, %s, got %s as a name", what, EXAMPLE, errors.show(name))
  end
end

local function copy_constructors(given)
  local copy = {}
  for name, constructor in next, given do
    check_name("constructors", name)
    copy[name] = check.callable(("the constructor '%s'"):format(name), constructor,
      " - objects that are there already go into objects = { name = object }")
  end
  return copy
end

-- What has methods. In a manager everything else could only be looked at, which proxies cannot.
function options.is_object(value)
  return type(value) == "table" or type(value) == "userdata"
end

local function copy_objects(given)
  local copy = {}
  for name, object in next, given do
    check_name("objects", name)
    if not options.is_object(object) then
      errors.raise("the object '%s' must be a table or a userdata, with methods, got %s", name, errors.show(object))
    end
    copy[name] = object
  end
  return copy
end

local function read_table(given, name, copy)
  local value = given[name]
  if value ~= nil and type(value) ~= "table" then
    errors.raise("%s must be a table, got %s", name, errors.show(value))
  end
  return copy(value or {})
end

local function check_address(address)
  if address ~= nil and (type(address) ~= "string" or core.is_tcp(address) == nil) then
    errors.raise("address must be \"host:port\", a path with a '/' (a Unix socket) or \"@name\", got %s",
      errors.show(address))
  end
  return address
end

local function read_key(key)
  if key == nil then
    return authkey.current()
  end
  return key ~= false and authkey.check("authkey (a key, or false for none)", key)
end

-- { constructors =, objects =, name =, listener = the options of a Listener, or false }
function options.read(given)
  if type(given) ~= "table" or check.is_callable(given) then
    errors.raise("Manager takes a table of constructors, %s, got %s (for shared tables, lists and queues see "
      .. "mproc.Dict, mproc.List and mproc.Queue, which need no manager)", EXAMPLE, errors.show(given))
  elseif is_constructors(given) then
    return { constructors = copy_constructors(given), objects = {}, listener = false }
  end
  check.options(given, "constructors go into constructors = {...}; a Manager has", NAMES)
  local read = {
    constructors = read_table(given, "constructors", copy_constructors),
    objects = read_table(given, "objects", copy_objects),
    name = given.name ~= nil and check.text("name", given.name) or nil,
    listener = false,
  }
  local key = read_key(given.authkey)
  if check_address(given.address) then
    read.listener = { address = given.address, authkey = key, max_bytes = given.max_bytes and
      check.count("max_bytes", given.max_bytes, 1, "a count of bytes from 1 up"),
      allow_md5 = given.allow_md5 ~= nil and check.flag("allow_md5", given.allow_md5) or nil }
  end
  return read
end

return options
