-- SPDX-License-Identifier: MIT
-- What a manager's process does from its start to its end: takes requests, one at a time, from its queue and from
-- connections; lets objects go that nobody keeps; and ends when it is told to, or when nobody can reach it any more.
-- Loaded by the maker of a manager (manager/init.lua), called in the child.
--
-- state: name, constructors, requests and inbox, door (the pipe whose other end all handles have), entries, list,
-- named (objects.lua), callers, next_caller (callers.lua), listener, peers, pause_until (remotes.lua), greeting (what
-- each caller is told first), garbage (something is to be collected), collect_at (not before), ending, look_at (when
-- others than the queue are looked at while that is never empty).

local callers = require("mproc.manager.server.callers")
local core = require("mproc.core")
local errors = require("mproc.manager.errors")
local objects = require("mproc.manager.server.objects")
local protocol = require("mproc.manager.protocol")
local remotes = require("mproc.manager.server.remotes")
local socket = require("mproc.socket")

local server = {}

local take, time = protocol.take, core.time
local SHORT = 0.005 -- how long the queue alone is waited for
local LOOK_SECONDS = 0.01 -- how often the rest is looked at while requests keep coming,
local CALLS = 16 -- after some of which it is asked what time it is
local SLICE, LONG_SLICE, SEND_SLICE = 0.1, 0.5, 0.001
local WATCHED = 64 -- objects whose ends are waited for; the others are looked at in turn
local SWEPT = 500
local COLLECT_SHARE = 20 -- a collection when something went takes no more than one part in so many of the time

local act = callers.take

-- --- between requests ---

local function look_round(state)
  state.look_at = time() + LOOK_SECONDS
  objects.sweep(state, SWEPT)
  callers.sweep(state)
  return remotes.step(state)
end

-- Nobody has a handle or a proxy, and nobody can come.
local function is_deserted(state)
  if state.listener or state.inside and not state.inside:poll(0) then
    return false
  elseif state.inside then
    state.inside:close()
    state.inside = nil
  end
  for _, entry in ipairs(state.list) do
    if not entry.named or entry.lives[1] then
      return false
    end
  end
  return state.requests:empty()
end

-- What is waited for, and for how long at most.
local function sources(state)
  local list = { state.requests, state.inside }
  local sends = remotes.watch(state, list)
  for i = 1, math.min(#state.list, WATCHED) do
    list[#list + 1] = state.list[i].lives[1]
  end
  local looks = #state.list > WATCHED or state.garbage or state.pause_until > time()
  return list, sends and SEND_SLICE or looks and SLICE or LONG_SLICE
end

-- What went is finalized though nothing else happens: a full collection, but of twenty times its length at most one.
local function collect(state)
  local began = time()
  state.garbage = false
  collectgarbage()
  state.collect_at = time() + COLLECT_SHARE * (time() - began)
end

-- The queue is empty: does what else there is, or waits for something.
local function idle(state)
  if look_round(state) then
    return
  elseif state.garbage and time() >= state.collect_at then
    collect(state)
    return
  elseif is_deserted(state) then
    state.ending = true
    return
  end
  local list, slice = sources(state)
  if not core.wait(list, #list, slice) then
    core.sleep(SEND_SLICE) -- a descriptor was closed that is ours
  end
end

-- With connections the queue is not waited for alone.
local function serve(state)
  local count = 0
  repeat
    count = count + 1
    if not act(state, take(state.inbox, state.peers[1] and 0 or SHORT)) then
      idle(state)
    elseif count % CALLS == 0 and time() >= state.look_at then
      look_round(state)
    end
  until state.ending
end

-- --- start and end ---

-- Listens, if it was asked for. The greeting: its address and the path's identity, or nil, message, NAME.
local function listen(state, options)
  if not options then
    return
  end
  local listener, message, name = socket.Listener(options)
  if not listener then
    state.greeting, state.ending = { nil, message, name }, true
    return
  end
  state.listener = listener
  state.greeting = { listener.address, core.path_identity(listener.address), nil }
end

local function begin(setup)
  local state = {
    name = setup.name, constructors = setup.constructors, requests = setup.requests, inside = setup.inside,
    inbox = protocol.inbox(setup.requests), callers = {}, next_caller = 1, listener = false, peers = {},
    pause_until = 0, greeting = {}, garbage = false, collect_at = 0, ending = false, look_at = 0,
  }
  objects.open(state, setup.objects)
  objects.enter(errors.title(setup.name, core.getpid()), serve)
  core.state.served_manager = core.self()
  core.state.manager_here = {
    call = function(id, ...) return objects.call_here(state.entries[id], ...) end,
    create = function(...) return objects.create_here(state, ...) end,
    get = function(...) return objects.get_here(state, ...) end,
  }
  setup.door:close()
  listen(state, setup.listener)
  return state
end

-- Objects are finalized, as far as their finalizers do not raise.
local function finish(state)
  remotes.close(state)
  objects.close(state)
  protocol.discard(state.requests)
  core.state.manager_here = nil
  collectgarbage()
  collectgarbage()
end

-- setup: what init.lua made.
function server.main(setup)
  core.ignore_sigint()
  protocol.heed_sigterm()
  local state = begin(setup)
  if state.ending then -- it could not listen: its maker is told so
    act(state, take(state.inbox))
    return
  end
  local ok, err = pcall(serve, state)
  finish(state)
  if not ok and not protocol.told_to_end() then
    error(err, 0)
  end
end

return server
