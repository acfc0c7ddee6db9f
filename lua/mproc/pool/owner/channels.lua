-- SPDX-License-Identifier: MIT
-- The function channels: by which each worker of a pool gets the functions that tasks name, and the owner's paths of
-- modules. A worker takes from its channel when a task names what it does not know.

local core = require("mproc.core")
local functions = require("mproc.pool.owner.functions")
local protocol = require("mproc.pool.protocol")
local workers = require("mproc.pool.owner.workers")

local CHANNEL_MAX = 128 -- messages a worker may leave unread before the owner looks through them

-- Where this process finds modules.
local function paths()
  return { package.path, package.cpath }
end

-- What was in the channel a moment ago. Where it finds no room any more the worker is killed, which would wait for it
-- for ever: the one that takes its place is born with all functions.
local function post_again(worker, id, notice, f)
  if not protocol.post_when_room(worker.channel, id, 0, notice, 0, 0, 0, "function", f) then
    core.log("warning", ("worker %d is replaced: there is no room for its functions"):format(worker.index))
    workers.kill_one(worker)
  end
end

-- Throws out what waits in this channel and may be long forgotten.
local function sort_channel(state, worker)
  local kept, forgotten = {}, {}
  local notices = protocol.inbox(worker.channel)
  for _ = 1, worker.channel:qsize() do
    local generation, id, _, notice, _, _, _, _, ok, f = protocol.receive(notices, 0)
    if not generation then
      break
    elseif notice == protocol.FORGET then
      forgotten[#forgotten + 1] = id
    elseif notice == protocol.FUNCTION and ok and state.functions.published[id] then
      kept[id] = f
    elseif notice == protocol.PATHS then
      worker.paths = {}
    end
    protocol.done(notices, generation)
  end
  for id, f in pairs(kept) do
    post_again(worker, id, protocol.FUNCTION, f)
  end
  for _, id in ipairs(forgotten) do
    post_again(worker, id, protocol.FORGET)
  end
end

-- A module that was found since the worker was started is found there, too.
local function send_paths(worker)
  local now, known = paths(), worker.paths
  if (now[1] ~= known[1] or now[2] ~= known[2]) and type(now[1]) == "string" and type(now[2]) == "string" then
    if protocol.post(worker.channel, 0, 0, protocol.PATHS, 0, 0, 0, "paths", now[1], now[2]) then
      worker.paths = now
    end
  end
end

-- One that is being started is born with what was published before.
function functions.send(state, id, notice, f)
  for _, worker in ipairs(workers.started(state)) do
    if worker.channel:qsize() > CHANNEL_MAX then
      sort_channel(state, worker)
    end
    send_paths(worker)
    local posted, why = protocol.post(worker.channel, id, 0, notice, 0, 0, 0, "function", f)
    if not posted then
      return nil, why
    end
  end
  return true
end

return { send = functions.send }
