-- SPDX-License-Identifier: MIT
-- The class Process and its subclasses: how they are made, and how an object finds its private record, its properties
-- and its methods. The other files of this folder fill in what is declared here.
-- An object is a plain table with the user's own fields; mproc's record of it is under a key that nobody else has.

local core = require("mproc.core")
local errors = require("mproc.errors")
local forms = require("mproc.process.forms")
local tree = require("mproc.process.tree")

local class = {
  Process = {},
  properties = {}, -- name -> function(self, record): the value
  setters = {}, -- name -> function(record, value)
  leave_scope = nil, -- function(self, err), for <close>
  to_string = nil, -- function(self)
  to_peer = nil, -- function(self): what travels
  to_source = nil, -- function(self): what mproc.wait watches
}

local Process = class.Process
local RECORD, METHOD = {}, {}
class.RECORD = RECORD
local metatables = setmetatable({}, { __mode = "k" }) -- class -> metatable of its objects

-- The private record of an object; raises when self is none.
function class.record_of(self)
  local record = core.field(self, RECORD)
  if not record then
    errors.raise("this is not a process, but %s; call its methods with a colon, as in p:start()", errors.show(self))
  end
  return record
end

-- A property is mproc's, whatever a subclass has by that name.
local function getter(methods)
  local properties = class.properties
  return function(self, key)
    local property = properties[key]
    if property then
      return property(self, class.record_of(self))
    end
    return methods[key]
  end
end

local function set(self, key, value)
  local setter = class.setters[key]
  if setter then
    setter(class.record_of(self), value)
  elseif class.properties[key] then
    errors.raise("a process's %s cannot be set", key)
  else
    rawset(self, key, value)
  end
end

local function make_metatable(methods)
  return {
    __class = methods,
    __name = "mproc.Process",
    __index = getter(methods),
    __newindex = set,
    __close = function(self, err) class.leave_scope(self, err) end,
    __tostring = function(self) return (methods.__tostring or class.to_string)(self) end,
    __mproc_encode = function(self) return class.to_peer(self) end,
    __mproc_wait = function(self) return class.to_source(self) end,
  }
end

local function construct(methods, ...)
  local number, identity = tree.count_one()
  local record = { -- sixteen fields, with room for what comes later: it is read and written round a fork
    name = "Process-" .. identity,
    number = number,
    daemon = tree.current_process().daemon,
    owner_pid = core.getpid(),
    message = false, outcome = false,
    target = nil, args = nil, bytes = nil, starting = nil, handle = nil, pid = nil, results = nil, exitcode = nil,
    returned = nil, closed = nil,
  }
  record.method = methods[METHOD]
  local self = setmetatable({ [RECORD] = record }, metatables[methods])
  errors.callee(methods.init)(self, ...)
  return self
end

-- A subclass, made of a table of methods or to be filled: init(self, ...) and run(self) are what it may override.
function Process:extend(methods)
  if type(self) ~= "table" or not metatables[self] then
    errors.raise("extend is called with a colon: local Pro = mproc.Process:extend()")
  elseif methods ~= nil and type(methods) ~= "table" then
    errors.raise("extend takes a table of methods or nothing, got %s", errors.show(methods))
  end
  methods = methods or {}
  metatables[methods] = make_metatable(methods)
  class.inherit(methods, self)
  return methods
end

metatables[Process] = make_metatable(Process)
setmetatable(Process, { __call = construct, __mproc_encode = forms.of_class })

-- --- for start methods ---

-- An empty class, which becomes one of processes by inherit.
function class.new()
  local methods = {}
  metatables[methods] = make_metatable(methods)
  return methods
end

function class.inherit(methods, parent)
  setmetatable(methods, { __index = parent, __call = construct, __mproc_encode = forms.of_class })
end

function class.parent_of(methods)
  return getmetatable(methods).__index
end

-- Of an object.
function class.class_of(self)
  return getmetatable(self).__class
end

local bound = {} -- start method -> Process whose objects start by it

function class.bound(method)
  bound[method] = bound[method] or Process:extend({ [METHOD] = method })
  return bound[method]
end

-- The start method that a class, or just it and not its subclasses, is bound to; or nil.
function class.method_of(methods, itself)
  return itself and rawget(methods, METHOD) or not itself and methods[METHOD] or nil
end

-- An object of that class with that record and those fields, which no init has seen.
function class.revive(methods, record, fields)
  fields[RECORD] = record
  return setmetatable(fields, metatables[methods])
end

return class
