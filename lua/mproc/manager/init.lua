-- SPDX-License-Identifier: MIT
-- Manager: a process that owns objects, whose methods others call by proxies. Here are its handle, how it is started,
-- and how it ends; options.lua checks, link.lua and remote.lua carry calls, proxy.lua is what callers have, server/
-- runs in the manager's process. Used by mproc's init.lua.
--
-- Who keeps what alive: the owner's process, as a daemon of it, the manager; each created object the end of a pipe,
-- of which every proxy has a copy and the manager has the other end; the manager itself, and its named objects, the
-- end of such a pipe that all handles have (the door). The manager hears of an object's last proxy, or of its own
-- last handle, as one hears of a pipe's end: whoever closed it, or died.
--
-- A handle's private record: link, process (the owner's Process object, nil elsewhere), owner_pid, closed.

local class = require("mproc.process.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local link_of = require("mproc.manager.link")
local manager_errors = require("mproc.manager.errors")
local options = require("mproc.manager.options")
local proxy = require("mproc.manager.proxy")
local remote = require("mproc.manager.remote")
local travel = require("mproc.manager.travel")
local server = require("mproc.manager.server") -- here, so that no child has to load it

local manager = {}

local END_SECONDS = 2 -- that calls under way have at a shutdown
local TERM_SECONDS = 1 -- that the rest of it may take

local RECORD = {}
local Manager = travel.Manager
local methods, properties = {}, {}

local function record_of(self)
  return core.field(self, RECORD)
    or errors.raise("a manager expected, got %s; call its methods with a colon, as in m:create(\"Counter\")",
      errors.show(self))
end

local function title(record)
  return manager_errors.title(record.link.name, record.link.pid or record.link.address)
end

-- This process's link.
local function link_here(record)
  local link = record.link
  if record.closed then
    errors.raise("the %s is closed", title(record))
  elseif link.caller ~= core.self() then
    if not link.pid then
      errors.raise("the connection to the %s belongs to the process that made it; connect here too, by mproc.connect",
        title(record))
    end
    link = link_of.new(link)
    record.link = link
  end
  return link
end

local function check_name(what, name, example)
  if type(name) ~= "string" then
    errors.raise("%s takes a name, as in m:%s(%s), got %s", what, what, example, errors.show(name))
  end
end

local create_there = core.shield(function(link, name, ...)
  local id, life = link:create(name, ...)
  return proxy.new(link, id, name, life)
end)

local get_there = core.shield(function(link, name)
  return proxy.new(link, (link:get(name)), name, nil)
end)

-- What is asked for in the manager's own process is not sent, and its end of a pipe comes last.
local function proxy_here(link, name, id, life)
  return proxy.new(link, id, name, life)
end

-- create(name, ...) -> a proxy of what the constructor returns
function methods.create(self, name, ...)
  local link = link_here(record_of(self))
  check_name("create", name, '"Counter", 10')
  if link.here then
    return proxy_here(link, name, core.state.manager_here.create(name, ...))
  end
  return create_there(link, name, ...)
end

-- get(name) -> a proxy of the object by that name
function methods.get(self, name)
  local link = link_here(record_of(self))
  check_name("get", name, '"config"')
  if link.here then
    return proxy_here(link, name, core.state.manager_here.get(name))
  end
  return get_there(link, name)
end

-- --- the end ---

local function end_process(process)
  if not process:join(END_SECONDS) then
    process:terminate()
    if not process:join(TERM_SECONDS) then
      process:kill()
      process:join()
    end
  end
end

-- The path of one that was killed would stay.
local function forget_path(record)
  if record.path then
    core.remove_path(record.link.address, record.path)
  end
end

local function shut_down(record)
  record.closed = true
  record.link:shut_down()
  end_process(record.process)
  record.link:die()
  forget_path(record)
  record.process:close()
end

local function is_owners(record)
  return record.process and not core.inherited(record.owner_pid)
end

-- Ends the manager's process: calls that it has begun, and those before this one, have two seconds. A second time does
-- nothing.
function methods.shutdown(self)
  local record = record_of(self)
  if record.closed then
    return
  elseif not is_owners(record) then
    errors.raise("the %s is another process's, which alone can shut it down; close() ends what is here", title(record))
  end
  shut_down(record)
end

-- Lets go of it: in the process that started it, shuts it down.
function methods.close(self)
  local record = record_of(self)
  if record.closed then
    return
  elseif is_owners(record) then
    return shut_down(record)
  end
  record.closed = true
  if record.link.close then
    record.link:close()
  end
end

-- The end of a scope: only where it was opened, not in a child that inherited it.
function Manager.__close(self)
  local record = core.field(self, RECORD)
  if record and not record.closed and not core.inherited(record.owner_pid) then
    methods.close(self)
  end
end

-- One that was killed, and that nobody has called since.
function Manager.__gc(self)
  local record = core.field(self, RECORD)
  if record and not record.closed and is_owners(record) and not core.peer_alive(record.link.ref) then
    record.link:die()
    forget_path(record)
  end
end

-- --- what it is ---

function properties.name(record)
  return record.link.name
end

function properties.pid(record)
  return record.link.pid
end

function properties.address(record)
  return record.link.address
end

function Manager.__index(self, key)
  local property = properties[key]
  if property then
    return property(record_of(self))
  end
  return methods[key]
end

function Manager.__newindex(_, key)
  errors.raise("a manager has no field '%s' that could be set", tostring(key))
end

function Manager.__tostring(self)
  local record = core.field(self, RECORD)
  if not record then
    return "mproc.Manager"
  end
  local link = record.link
  local state = (record.closed or link.ended) and ", closed"
    or link.ref and not core.peer_alive(link.ref) and ", ended" or ""
  return ("mproc.Manager: '%s' (%s%s)"):format(link.name, link.pid and "pid " .. link.pid or link.address, state)
end

function Manager.__eq(a, b)
  local one, other = core.field(a, RECORD), core.field(b, RECORD)
  return one ~= nil and other ~= nil and one.link.ref ~= nil and one.link.ref == other.link.ref
end

local function new(link, process, path)
  return setmetatable({ [RECORD] = { link = link, process = process, path = path, owner_pid = core.getpid(),
    closed = false } }, Manager)
end

function Manager.__mproc_encode(self)
  local record = record_of(self)
  local link = record.link
  if record.closed then
    return nil, ("the %s is closed"):format(title(record))
  elseif not link.pid then
    return nil, "a connection to a manager belongs to one process; send its address, and connect there by mproc.connect"
  end
  return { ref = link.ref, pid = link.pid, name = link.name, address = link.address, requests = link.requests,
    door = link.door }
end

-- What has travelled.
function manager.arrive(it)
  return new(link_of.new(it))
end

-- --- the start ---

local count = 0

-- What the manager's process is to begin with. It stays the closure's, so that a fork inherits the objects.
local function make_target(setup)
  return function()
    return server.main(setup)
  end
end

-- The process and its link; or nil, message, NAME.
local function start(Process, read)
  local requests, message, code = core.queue()
  if not requests then
    return nil, message, code
  end
  local inside, door, name = core.pipe(false)
  if not inside then
    return nil, door, name
  end
  count = count + 1
  local setup = { requests = requests, inside = inside, door = door, constructors = read.constructors,
    objects = read.objects, listener = read.listener, name = read.name or "Manager-" .. count }
  local process = Process({ target = make_target(setup), name = setup.name, daemon = true })
  local started
  started, message, code = process:start()
  inside:close()
  if not started then
    return nil, message, code
  end
  return process, link_of.new({ ref = class.to_peer(process)._ref, pid = process.pid, name = setup.name,
    requests = requests, door = door })
end

-- What the manager says first. Raises what it raised, if it has ended before that.
local function await_greeting(process, link)
  local ok, address, path, code = pcall(link.greeting, link)
  if ok then
    return address, path, code
  elseif not core.peer_alive(link.ref) then
    local _, err = pcall(process.result, process, END_SECONDS)
    if type(err) ~= "table" or err.kind ~= "worker_died" then
      error(err, 0)
    end
  end
  error(address, 0)
end

-- For a start method's own Process: what mproc.Manager is there.
function manager.made_of(Process)
  -- Manager{ ... } -> manager | nil, message, NAME
  return function(given)
    local read = options.read(given)
    local process, link, name = start(Process, read)
    if not process then
      return nil, link, name
    end
    local address, path, code = await_greeting(process, link)
    if code then
      process:join()
      process:close()
      return nil, path, code
    end
    link.address = address
    if path then
      core.keep_path(address, path)
    end
    return new(link, process, path)
  end
end

manager.Manager = manager.made_of(class.Process)

-- connect(address[, options]) -> manager | nil, message, NAME
function manager.connect(address, given)
  local link, message, name = remote.connect(address, given)
  if not link then
    return nil, message, name
  end
  return new(link)
end

return manager
