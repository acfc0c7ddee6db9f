-- SPDX-License-Identifier: MIT
-- What a process is, as a message: for start methods whose children inherit nothing. Used by spawn.lua, which sends it,
-- and spawned.lua, which makes the process of it.
--
-- A message's parts are packed one by one, so that an error names what cannot travel: args (packed when the process was
-- made), target, fields (the user's own, of the object), classes. `objects` keeps alive what is in them until they are
-- unpacked. A class travels as its name, { module =, key = }, when a loaded module has it in a field; or as { id = }, a
-- number in `classes`, whose methods are sent along: { id =, parent = a class, methods = packed }. Classes and
-- functions may name each other, so all classes are made, and empty, before any is unpacked.

local class = require("mproc.process.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local forms = require("mproc.process.forms")

local travel = {}

local loaded = package.loaded
local real_require = _G.require

local ClassForm = forms.Class

local sending -- while a process is packed: class -> id, and [id] -> class
local arriving -- while one is made: [id] -> class

-- The module, and the field in it, that a class can be found by.
local function find_name(methods)
  for name, module in next, loaded do
    if type(module) == "table" and name ~= "_G" then
      for key, value in next, module do
        if rawequal(value, methods) and type(key) == "string" then
          return name, key
        end
      end
    end
  end
end

-- What a class becomes in a message.
function travel.form_of(methods)
  local module, key = find_name(methods)
  local form = setmetatable({ module = module, key = key, context = class.method_of(methods, true) }, ClassForm)
  if module or form.context then
    return form
  elseif not sending then
    errors.raise("a class of processes travels by its name: put it in a field of a module, or start its processes here")
  elseif not sending[methods] then
    local id = #sending + 1
    sending[id], sending[methods] = methods, id
  end
  form.id = sending[methods]
  return form
end

-- The class again.
function travel.class_of(form)
  if form.context then
    return class.bound(form.context)
  elseif form.id then
    return arriving and arriving[form.id] or error("a class of processes came without its methods", 0)
  end
  local module = loaded[form.module] or real_require(form.module)
  return module[form.key]
end

function ClassForm.__mproc_encode(form) -- without its metatable: the codec adds the name
  return { module = form.module, key = form.key, context = form.context, id = form.id }
end

-- --- sending ---

-- The packed value; its objects are added to the list.
local function pack(value, what, objects)
  local bytes, handles, refused = core.pack(value, what)
  if not bytes then
    return errors.raise_unsendable(handles, refused)
  elseif handles then
    core.hold(objects, handles)
  end
  return bytes
end

local function fields_of(self)
  local fields, any = {}, false
  for key, value in next, self do
    if key ~= class.RECORD then
      fields[key], any = value, true
    end
  end
  return any and fields or nil
end

-- Packing a class may meet others.
local function pack_classes(objects)
  local list, id = {}, 1
  while sending[id] do
    local methods, copy = sending[id], {}
    for key, value in next, methods do
      copy[key] = value
    end
    list[id] = {
      methods = pack(copy, "class", objects), parent = pack(class.parent_of(methods), "class", objects),
    }
    id = id + 1
  end
  return list
end

local function pack_parts(message, self, record)
  local objects = message.objects
  if record.bytes then
    message.args = record.bytes
    if record.args.handles then
      core.hold(objects, record.args.handles)
    end
  end
  if record.target ~= nil then
    message.target = pack(record.target, "target", objects)
  end
  local fields, methods = fields_of(self), class.class_of(self)
  message.fields = fields and pack(fields, "process", objects)
  if methods ~= class.Process then
    message.class = pack(methods, "class", objects)
  end
  message.classes = pack_classes(objects)
end

-- The parts of a process in a message. Raises for what cannot travel, with its path. A hook may start a process
-- meanwhile.
function travel.pack(message, self, record)
  local outer = sending
  sending = {}
  message.objects = {}
  local ok, err = pcall(pack_parts, message, self, record)
  sending = outer
  if not ok then
    error(err, 0)
  end
  return message
end

-- --- arriving ---

local unpack_part = core.unpack_in_child

local function make_classes(list)
  for id = 1, #list do
    arriving[id] = class.new()
  end
  for id, form in ipairs(list) do
    class.inherit(arriving[id], (unpack_part(form.parent)))
  end
  for id, form in ipairs(list) do
    for key, value in next, (unpack_part(form.methods)) do
      arriving[id][key] = value
    end
  end
end

-- The process that a message tells of, as an object with that record.
function travel.unpack(message, record)
  arriving = {}
  make_classes(message.classes)
  local methods = message.class and unpack_part(message.class) or class.Process
  local fields = message.fields and unpack_part(message.fields) or {}
  record.bytes = message.args
  record.target = message.target and unpack_part(message.target)
  arriving = nil
  return class.revive(methods, record, fields)
end

return travel
