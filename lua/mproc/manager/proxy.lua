-- SPDX-License-Identifier: MIT
-- Proxies: what a caller has of an object in a manager's process. Each method is looked up there; call, and what the
-- metatable has, are a proxy's own. Used by init.lua, and by whoever receives one (travel.lua).
--
-- A proxy's private record: link (or another process's, before the first call here), id (the object's), kind (its
-- constructor's name, or its own), life (what keeps the object: the end of a pipe, nil when the link does), closed.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local link_of = require("mproc.manager.link")
local manager_errors = require("mproc.manager.errors")
local travel = require("mproc.manager.travel")

local proxy = {}

local RECORD = {}
local field, self_ref = core.field, core.self
local Proxy = travel.Proxy
local FOREVER = 1e9 -- seconds that are no limit
local METHODS_MOST = 10000 -- names that are kept

local function refuse(self, name)
  errors.raise("a proxy expected, got %s; call its methods with a colon, as in proxy:%s(...)", errors.show(self), name)
end

local function record_of(self, name)
  local record = field(self, RECORD) or refuse(self, name)
  if record.closed then
    errors.raise("the proxy of '%s' is closed", record.kind)
  end
  return record
end

-- This process's link.
local function local_link(record)
  local link = link_of.new(record.link)
  record.link = link
  return link
end

local call_there = core.shield(function(link, record, name, deadline, ...)
  return link:call(record.id, name, deadline, ...)
end)

local function invoke(self, name, deadline, ...)
  local record = record_of(self, name)
  local link = record.link
  if link.caller ~= self_ref() then
    if not link.pid then
      errors.raise("the connection to the %s belongs to the process that made it; connect here too, by mproc.connect",
        manager_errors.title(link.name, link.address))
    end
    link = local_link(record)
  end
  if link.here then -- in the manager's own process it is a call like any other
    return core.state.manager_here.call(record.id, name, ...)
  end
  return call_there(link, record, name, deadline, ...)
end

-- --- methods ---

local methods, nmethods = {}, 0

local function count_args(args)
  if args == nil then
    return 0, {}
  elseif type(args) ~= "table" or getmetatable(args) ~= nil then
    return 1, { args }
  end
  local n = check.length("args.n", args, check.ARGUMENTS_MAX)
  if n == 0 and args.n == nil and next(args) ~= nil then
    errors.raise("args is a table without a list part; to pass the table itself write args = { t }")
  end
  return n, args
end

-- call(name[, args[, timeout]]): the results; nil, "timeout" when they did not come in time.
local function call(self, name, args, timeout)
  record_of(self, "call")
  if type(name) ~= "string" then
    errors.raise("call takes a method's name and a list of arguments, as in proxy:call(\"add\", { 1 }, 2), got %s as "
      .. "the name; a method of the object's that is itself named call is reached by proxy:call(\"call\", { ... })",
      errors.show(name))
  end
  local n, list = count_args(args)
  check.timeout(timeout)
  local deadline = timeout and timeout < FOREVER and core.time() + math.max(timeout, 0) or nil
  return invoke(self, name, deadline, table.unpack(list, 1, n))
end

-- Methods by name, made when they are first asked for.
local function make_method(_, name)
  if type(name) ~= "string" then
    errors.raise("a proxy has the methods of its object and no fields, got %s as a name", errors.show(name))
  end
  local function method(self, ...)
    return invoke(self, name, nil, ...)
  end
  if nmethods < METHODS_MOST then
    nmethods = nmethods + 1
    rawset(methods, name, method)
  end
  return method
end

methods.call = call
Proxy.__index = setmetatable(methods, { __index = make_method })

function Proxy.__newindex(_, name)
  errors.raise("a proxy's fields cannot be set ('%s'); give the object a method that does", tostring(name))
end

function Proxy.__tostring(self)
  local record = field(self, RECORD)
  if not record then
    return "mproc.Proxy"
  end
  return ("mproc.Proxy: %s %d of %s%s"):format(record.kind, record.id,
    manager_errors.title(record.link.name, record.link.pid or record.link.address), record.closed and ", closed" or "")
end

function Proxy.__eq(a, b)
  local one, other = field(a, RECORD), field(b, RECORD)
  return one ~= nil and other ~= nil and one.id == other.id and one.link.ref == other.link.ref
end

-- --- life ---

-- Lets go of the object. A second time does nothing.
local function close(self)
  local record = field(self, RECORD)
  if not record or record.closed then
    return
  end
  record.closed = true
  if record.life then
    record.life:close()
  elseif record.link.drop then
    record.link:drop(record.id)
  end
end

Proxy.__close = close

-- What is beyond a socket learns of a proxy's end by its connection alone; the end of a pipe is collected by itself.
function Proxy.__gc(self)
  local record = field(self, RECORD)
  if record and not record.closed and record.link.drop then
    record.link:drop(record.id)
  end
end

-- A proxy of the object `id` beyond that link.
function proxy.new(link, id, kind, life)
  return setmetatable({ [RECORD] = { link = link, id = id, kind = kind, life = life, closed = false } }, Proxy)
end

function Proxy.__mproc_encode(self)
  local record = field(self, RECORD)
  if not record or record.closed then
    return nil, "the proxy is closed"
  elseif not record.link.pid then
    return nil, "a proxy of a manager beyond a socket belongs to its connection; send the manager's address, and "
      .. "connect there by mproc.connect"
  end
  local link = record.link
  return { ref = link.ref, pid = link.pid, name = link.name, address = link.address, requests = link.requests,
    id = record.id, kind = record.kind, life = record.life, door = not record.life and link.door or nil }
end

-- What has travelled.
function proxy.arrive(it)
  return proxy.new(link_of.new(it), it.id, it.kind, it.life)
end

return proxy
